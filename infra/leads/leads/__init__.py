"""Sets up Marketplace Leads, looks at it, changes it and removes it, with nothing but the AWS CLI (and `az`, if
asked).
"""
