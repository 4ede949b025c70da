"""Many pictures as one job: found, named, worked off, and accounted for, whatever happens."""
