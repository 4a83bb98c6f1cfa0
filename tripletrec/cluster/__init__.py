"""Training on a cluster; on one machine it is in `training`."""
