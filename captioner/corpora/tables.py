"""Captions as JSONL and as CSV, one's own or Kaggle's (``image,caption``)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from captioner.corpora.languages import language_tag
from captioner.corpora.rows import Row, image_id, mistake, parse_json


def jsonl_rows(text: str, uri: str) -> Iterator[Row]:
    """A row a line: ``{"image": ..., "caption": "..."}``, or ``"captions"`` with a list.

    ``"id"`` may stand for ``"image"``, ``"split"`` and ``"language"`` may be there, and all else is
    passed over.

    Raises:
        UserError: a line that isn't such an object.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        record = parse_json(line, uri, number)
        if not isinstance(record, dict) or not _names_image(record):
            raise mistake(uri, number, 'expected an object with "image" or "id"')
        captions = record.get("captions", [record.get("caption")])
        if not isinstance(captions, list) or not all(isinstance(text, str) for text in captions):
            raise mistake(uri, number, 'expected "caption", a text, or "captions", a list of texts')
        captions = tuple(caption.strip() for caption in captions)
        language = _language(record, uri, number)
        yield Row(image_id(image_of(record)), captions, str(record.get("split") or ""), language)


def csv_rows(text: str, uri: str) -> Iterator[Row]:
    """A row a line below a heading with ``image`` (or ``id``) and ``caption``.

    There may be ``split`` and ``language``. Columns may be separated by commas, semicolons or tabs.

    Raises:
        UserError: the heading lacks a column, or a line doesn't fit it.
    """
    for number, record in table(text, uri, ("caption",)):
        captions, language = (record["caption"].strip(),), _language(record, uri, number)
        yield Row(image_id(image_of(record)), captions, record.get("split", ""), language)


def table(text: str, uri: str, needed: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """The lines of a CSV file that names images, each with its number and by its columns.

    Raises:
        UserError: the heading has neither ``image`` nor ``id``, or lacks a column of `needed`, or
            a line has more or fewer fields than the heading.
    """
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = [column.strip().lower() for column in next(reader, [])]
        if not {"image", "id"} & set(columns) or not set(needed) <= set(columns):
            raise mistake(uri, 1, f"expected columns image, {', '.join(needed)}; found {columns}")
        for fields in filter(None, reader):
            if len(fields) != len(columns):
                what = f"{len(fields)} fields, not {len(columns)}: quote texts with {delimiter!r}"
                raise mistake(uri, reader.line_num, what)
            record = dict(zip(columns, fields, strict=True))
            if not _names_image(record):
                raise mistake(uri, reader.line_num, "names no image")
            yield reader.line_num, record
    except csv.Error as error:
        raise mistake(uri, reader.line_num, f"isn't CSV: {error}") from error


def image_of(record: dict[str, Any]) -> Any:
    """The name of the image that a record is about, if it has one."""
    return record.get("image", record.get("id"))


def _language(record: dict[str, Any], uri: str, line: int) -> str:
    try:
        return language_tag(str(record.get("language") or ""))
    except ValueError as error:
        raise mistake(uri, line, str(error)) from None


def _names_image(record: dict[str, Any]) -> bool:
    name = image_of(record)
    return isinstance(name, str) and bool(name.strip())
