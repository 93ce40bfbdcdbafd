"""The page that says whether exports are the student, made of certificate.json alone."""
