"""What stands between the network and the HTTP app: connections, and whom they come from."""
