"""What passes between the server and its DIMSE processes, and the verbs that these may ask for."""
