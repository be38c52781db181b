"""Every check of the templates. Each takes the sources and yields findings, which are sentences that name the place."""
