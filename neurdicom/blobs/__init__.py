"""The blob store: the received files, byte for byte, behind one port."""
