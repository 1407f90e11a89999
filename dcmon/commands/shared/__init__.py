"""What several commands share: groups, options, arguments and confirmations."""
