"""Both ends of the connections between the server and its DIMSE processes.

Owns the processes (`pool`, `process`), the process's end (`link`), the wire format (`frames`, `contract`), and the
verbs that processes may call (`backend`, `query_retrieve`). May import from `nodes` and below, and `dimse.ul.incoming`.
"""
