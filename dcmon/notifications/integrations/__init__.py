"""The services that a receiver can be, one module each with the members of `base.Integration`."""
