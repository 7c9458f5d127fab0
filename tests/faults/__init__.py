"""`./dev cluster faults`: what happens to a cluster under load when its parts die, stop or come and go."""
