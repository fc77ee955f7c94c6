"""What bnlint looks at: files as data, without torch, or live models, which are traced."""
