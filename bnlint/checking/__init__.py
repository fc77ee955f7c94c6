"""What a check can be asked, and what that is made into: signatures, help, the configuration file, documentation."""
