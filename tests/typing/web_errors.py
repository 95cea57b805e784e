"""Mistakes with pages that a type checker finds before the program runs (issue 7, Web)."""

import faust
from faust.web import Blueprint, View

app = faust.App("shop")
counts = app.Table("counts", key_type=str, value_type=int)

app.page(7)  # error: arg-type | reportArgumentType
app.page("/x/", base=faust.Record)  # error: arg-type | reportArgumentType
app.table_route(counts, part="key")  # error: call-arg | reportCallIssue
app.web_server("aiohttp")  # error: type-var | reportArgumentType
Blueprint()  # error: call-arg | reportCallIssue


class Page(View):
    """Answers have a content, and a status that is a number."""

    async def get(self, *args: object) -> object:
        """Answer."""
        return self.text(b"bytes", status="200")  # error: arg-type | reportArgumentType
