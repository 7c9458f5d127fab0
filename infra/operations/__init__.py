"""What stands behind the Operations page: the installation as operators' tools see it, and their commands."""
