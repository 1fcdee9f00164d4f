"""Texts that tokenizers have been known to stumble over. Every export is held against transformers on them.

Lone surrogates are put in by number: files that hold them are no UTF-8.
"""

from __future__ import annotations

from typing import Final

ODD_TEXTS: Final[tuple[str, ...]] = (
    "",
    " ",
    "\n\t \r\n",
    "a",
    "😀",
    "👩‍👩‍👧‍👦 family, 🏳️‍🌈 flag, 👍🏽 skin, 🇩🇪🇫🇷 regions, 1️⃣ keycap",
    "מה שלומך? اليوم جميل جدا \u202bright to left\u202c \u200fmarks\u200e",
    "zero\u200bwidth\u200cjoiners\u200dand\ufeffmarks\u2060",
    "\u200d\u200d\u200d",
    "half of a pair: \ud83d and \ude00, turned round: \ude00\ud83d",
    "\ud83d",
    "bell \a, nul \0, escape \x1b[31m, delete \x7f, C1 \x85\x9b, \x01\x02\x03",
    "\0",
    "line\u2028separator\u2029paragraph\vtab\ffeed",
    "é e\u0301 ﬁ ﬀ Å \u212b ⅷ ㎏ Ｆｕｌｌ　ｗｉｄｔｈ",
    "Z̸̡̢a̷̛l̴̨g̶̡o̵̢ " + "a" + "\u0301" * 60,
    "ß İ ı ǅ ς Σ K",
    "次の電車は何時に出ますか？ 한국어 텍스트 ไม่มีช่องว่าง",
    "𝕗𝕒𝕟𝕔𝕪 𝖑𝖊𝖙𝖙𝖊𝖗𝖘 \U00020000\U0010fffd\ue000\uffff\ufffe",
    "@user http &amp; &lt;3 #hashtag $TICKER \\u2019 <b>bold</b>",
    "@nasa.official: look https://t.co/x?y=1&z=2#w, and www.example.com!",
    "<s> </s> <pad> <mask> <unk> [CLS] [SEP] [PAD] [MASK] [UNK]",
    "<mask><mask> text</s></s>more",
    "▁sentencepiece ▁▁ ##wordpiece Ġbyte Ċ",
    "  many   blanks\u00a0\u2003and\u3000kinds  ",
    "LOUD!!!!!!!!!! sooooooooo gooooood ......... ???????",
    "don't can't won't I'm you're it's 'tis o'clock",
    "3.14 1,000,000 2026-01-02 12:34:56 50% €5 ½",
    "x" * 10_000,
    "word " * 2_000,
    "😀" * 10_000,
    "\u0301" * 10_000,
    "السلام" * 1_500,
    "\ud83d" * 10_000,
)
