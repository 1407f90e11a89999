"""The whole system on a year of real flights, for a newcomer."""
