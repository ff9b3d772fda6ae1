"""The page: the convenient entry for whoever comes without the platform's app. Plain HTML, no script."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import get_args

from aiohttp import web

from schemas.complaint import ComplaintKind

_KINDS: dict[ComplaintKind, str] = {
    "illegal": "违法内容 Illegal content",
    "rumor": "谣言 Rumour",
    "unlabelled": "未标识的AI生成内容 AI-generated, not labelled",
    "impersonation": "冒充他人 Impersonation",
    "infringement": "侵权 Infringement",
    "appeal": "申诉 Appeal by the publisher",
}
_PAGE = (
    '<!DOCTYPE html><html lang="zh"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    "<title>投诉举报 Complaints</title><h1>投诉举报 Complaints</h1>{}</html>"
)


def wanted(request: web.Request) -> bool:
    """Whether the answer is for a person: who sends the page's form is shown a page."""
    return request.content_type == "application/x-www-form-urlencoded" and "text/html" in request.headers.get(
        "Accept", ""
    )


def form(given: Mapping[str, str]) -> str:
    """The form; a link to it may fill in whose item it is about: `/?publisher_id=…&content_id=…`."""
    options = "".join(f'<option value="{kind}">{_KINDS[kind]}</option>' for kind in get_args(ComplaintKind))
    fields = [
        ("publisher_id", "发布者 Publisher", given.get("publisher_id", "")),
        ("content_id", "内容编号 Item", given.get("content_id", "")),
        ("complainant", "您的账号或联系方式（仅以加密摘要保存） Your account or address (kept as a digest only)", ""),
    ]
    inputs = "".join(
        f'<p><label>{label}<br><input name="{name}" maxlength="256" required value="{escape(value)}"></label></p>'
        for name, label, value in fields
    )
    return _PAGE.format(
        '<form method="post" action="/complaints">'
        f'<p><label>类别 Kind<br><select name="kind">{options}</select></label></p>{inputs}'
        '<p><label>说明 What is wrong<br><textarea name="text" rows="8" cols="60" maxlength="5000" required>'
        "</textarea></label></p><p><button>提交 Send</button></p></form>"
    )


def thanks(receipt: str) -> str:
    """The receipt, and where to ask with it."""
    return _PAGE.format(
        "<p>已收到。请保存回执编号，凭此查询结果。<br>Received. Keep this receipt: only with it can you see the result."
        f'</p><p><code>{receipt}</code></p><p><a href="/complaints/{receipt}">查询结果 See the result</a></p>'
    )
