"""Remote DICOM nodes: their records, queries, transfers, and storage commitment.

Owns the documents of nodes (`dicom_node`), the port to the protocols that they speak, and the runners of jobs that move
instances. May import processing, jobs, archive and what lies below them.
"""
