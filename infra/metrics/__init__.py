"""What /metrics tells: the catalogue of all metrics, and the collectors that read the parts of a process."""
