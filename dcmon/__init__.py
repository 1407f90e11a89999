"""dcmon watches machine-learning models in production."""
