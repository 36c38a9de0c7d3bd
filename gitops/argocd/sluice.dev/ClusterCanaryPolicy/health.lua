-- A policy has no status: the API server has checked it, and it is there for whom it concerns.
return {status = "Healthy", message = "what it says is judged by with the next step of a rollout"}
