"""The command ``instrument``. One file for each command; each is loaded when it is called.

`main` starts here and turns errors into one line and an exit code; `output` writes JSON and tables;
`words` puts values into words for people.
"""
