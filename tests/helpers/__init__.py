"""What tests share: services, rows, models, and where the project lies."""
