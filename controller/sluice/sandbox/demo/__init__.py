"""`sluice demo`: five rollouts on real parts under live load, watched, counted and reported."""
