"""Many pictures as one job: found, named, worked through, and accounted for, whatever happens."""
