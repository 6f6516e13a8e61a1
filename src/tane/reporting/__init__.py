"""`tane report`: one page of a run, or of several side by side, for people.

gather.py     what a run's folder tells
trained_on.py the text: where every character went, lengths, scripts, tokens
charts.py     curves as SVG in the colours of the page
versus.py     which of two runs is better, or that one cannot tell
contents.py   what the templates take of all this
page.py       the templates filled and written; templates/ has the page's HTML and markdown

The page is one file without scripts, links to nowhere, and holds excerpts of the validation text.
"""

from tane.reporting.page import Page, report

__all__ = ["Page", "report"]
