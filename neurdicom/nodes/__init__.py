"""Remote DICOM nodes: kept, asked, sent to and retrieved from, whichever protocol they speak."""
