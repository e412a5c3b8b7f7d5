"""The service: a supervisor that keeps a worker and a camera going. What clients see is in web/."""
