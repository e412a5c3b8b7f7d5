"""What clients see of a service over HTTP: pages, the API for texts, health, metrics; the limits in front of them."""
