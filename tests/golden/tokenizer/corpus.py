"""Text that tokenizers disagree about."""

import random

SPACES = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u180e"
    + "".join(map(chr, range(0x2000, 0x200C)))
    + ("\u2028\u2029\u202f\u205f\u2060\u3000\ufeff")
)

SENTENCES = [
    "The quick brown fox jumps over the lazy dog. It isn't what they'd said; we've seen 12,345.67 of them!",
    "Die Würde des Menschen ist unantastbar. Straße, Füße, Größe; „Anführung“ — ‚so‘.",
    "L'été dernier, où étiez-vous ? Ça va, naïf cœur de bœuf… «Voilà»",
    "¿Dónde está el niño? ¡Aquí! Mañana será otro día, señor.",
    "Все люди рождаются свободными и равными в своём достоинстве. Ёлка, йод.",
    "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια.",
    "Mọi người sinh ra đều được tự do và bình đẳng. Cửa Việt, Huế, phở.",
    "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心。𠮷𠀋",
    "すべての人間は、生まれながらにして自由である。カタカナ、ひらがな、漢字ｶﾅ。",
    "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق. الحَمْدُ لِلَّهِ ١٢٣",
    "כל בני האדם נולדו בני חורין ושווים בערכם. שָׁלוֹם עֲלֵיכֶם",
    "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ น้ำ กำ ๑๒๓",
    "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता है। क्षत्रिय १२३",
    "সমস্ত মানুষ স্বাধীনভাবে জন্মগ্রহণ করে। தமிழ் மொழி தொன்மையானது.",
    "ყველა ადამიანი იბადება თავისუფალი. Բոլոր մարդիկ ծնվում են ազատ։ የሰው ልጅ ሁሉ",
    "Kişi başına İstanbul'da ışık ığdır; İ i I ı. Žluťoučký kůň, Łódź, Ørsted, Þór.",
]
CODE = [
    "def f(x: int) -> int:\n    \"\"\"Twice.\"\"\"\n    return x * 2  # done\n\n\nclass A(B):\n\tpass\n",
    "#include <vector>\r\ntemplate <typename T>\r\nT max(const std::vector<T>& v) {\r\n  return v[0] != 0x1F ? v.back() : -1e-9;\r\n}\r\n",
    "SELECT a.id, COUNT(*) FROM t AS a WHERE a.name LIKE '%x_%' AND b >= 3;\n-- end",
    "{\"key\": [1, 2.5e10, null, true], \"s\": \"\\n\\u00e9\"}",
    "for i in {1..10}; do echo \"$i\" >> ~/a/b.txt && ls -la; done",
    "https://example.org/a/b?c=d&e=%20f#g user@example.com C:\\Users\\x\\y",
    "<div class=\"a b\"><p>x &amp; y</p></div>",
    "$$\\int_0^\\infty e^{-x^2}\\,dx = \\frac{\\sqrt{\\pi}}{2}$$",
    "a_b_c__d aB2cD3 HTTPServer2 x1y2 __init__ ___",
    "!!!??...---===+++~~~```'''\"\"\"",
]
CONTRACTIONS = [
    "don't DON'T Don'T we're WE'RE we'Re I'll I'LL you've YOU'VE he'd HE'D I'm I'M it's IT'S 'twas 'tis",
    "it'\u017f it'\u017fx we'\u017f\u017f '\u017f'S x'\u017f1 \u017fun",
    "\u212aelvin '\u212a x'\u212a K'k \u212b'm",
    "'S'T'RE'VE'M'LL'D 's't're've'm'll'd",
    "'sx 'tx 'rex 'vex 'mx 'llx 'dx 'r 'v 'l 'L",
    "''s '''t x''ll \u2019s it\u2019s don\u2019t",
    "'\u0130 '\u0131 'ß 'ﬆ 'ﬀ",
]
MARKS = [
    "e\u0301 \u00e9 e\u0300\u0301 a\u0327\u0301 a\u0301\u0327 q\u0323\u0307 q\u0307\u0323 \u1e69 s\u0323\u0307 s\u0307\u0323",
    "Fu\u0308hrer F\u00fchrer cafe\u0301 caf\u00e9 A\u030angstro\u0308m \u212bngstr\u00f6m \u2126 \u212a",
    "C\u01b0\u0309a Vie\u0323\u0302t Vi\u1ec7t Vie\u0302\u0323t",
    "\u1112\u1161\u11ab\u1100\u1173\u11af \ud55c\uae00 \u1112\u1161\u11ab\u3131 \uac00\u11a8 \u1100\u1161\u0301\u11a8 \uac01",
    "x\u0301 1\u0301 \u0301 .\u0301 \u0301\u0301 _\u0301 \n\u0301 \t\u0301a",
    "\u0344 \u0958 \u095c \u2adc \ufb1d \ufb4e \u0f73 \u0f75 \U0001d15e \U0001d1bb \uf900 \u2f81a",
    "\u0928\u093c \u0929 \u0915\u093c\u094d\u0937 \u09c7\u09be \u09cb \u0bc6\u0bbe \u0bca",
    "\u05e9\u05c1\u05bc \u05e9\u05bc\u05c1 \u0644\u064e\u0651 \u0644\u0651\u064e \u0627\u0653 \u0622 \u0627\u0655",
    "\u3046\u3099 \u3094 \u304b\u3099 \u304c \u30cf\u309a \u30d1 \uff8a\uff9f",
]
EMOJI = [
    "\U0001f600\U0001f44d\U0001f3fd\U0001f1e9\U0001f1ea\u2764\ufe0f\u2764\ufe0e 1\ufe0f\u20e3 #\ufe0f\u20e3 \U0001f9d1\U0001f3ff\u200d\U0001f680",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f a\U0001f999b\U0001f999.cpp",
    "\U0001f600a \U0001f600\n\n\U0001f600 \U0001f6001 \u200d\u200d \ufe0f\ufe0f \u200b\u200c\u200d\u200e\u200f",
    "\u00a9\u00ae\u2122 \u2190\u2192 \u221e \u2211x\u00b2 \u20ac5 \u00a37 \u2026 \u2014\u2013\u2010 \u00bd\u2153 \u2160\u2167 \u2460\u24b6",
]
NUMBERS = [
    "0123456789 1234567 3.14159 1,000,000 1e10 0x1F 2024-01-02T03:04:05Z",
    "\u0661\u0662\u0663 \u096a\u096b \u0e50\u0e51 \U0001d7d8\U0001d7d9 \u00b2\u00b3\u2074 \u2081\u2082 \u3007\u4e00\u5341 \u2150 a1b2 1a 12ab34",
    "3" * 18,
    "x" + "9" * 33,
    "1 22 333 4444 \u06f1\u06f2",
]
UNASSIGNED = ["a\x00b \x01\x1f \x7f \x80\x9f \ufffd \ufffe \uffff \U0010ffff \ue000 \U000f0000 \u0378 \ufdd0"]
WHITESPACE = [
    "",
    " ",
    "  ",
    "   ",
    "\t",
    "\n",
    "\n\n",
    "\n\n\n",
    "\t\n",
    "\r",
    "\r\n",
    "\r\r\n\n",
    " \n",
    "\n ",
    " \n \n ",
    "  \r\n  x",
    "x  \n\n  y",
    "x \t y",
    "a  b   c    d",
    "    Hello\n    Hello",
    "\n =",
    " (",
    "a\n",
    "a \n",
    "\u3000\u3000x",
    "x\u00a0y\u00a0\u00a0z",
    "\u2028x\u2029\u2029y",
    "\n\u2028\n",
    "\u0085\u0085\nx",
    "\x0b\x0c\x1c\x1d x",
]
WHITESPACE += [f"a{s}b{s}{s}c {s}d{s} e\n{s}f{s}\n1{s}2{s}.{s}{s}" for s in SPACES]
RUNS = [
    "a" * 10000,
    " " * 10000,
    "\n" * 10000,
    "7" * 10000,
    "\u0301" * 10000,
    "\U0001f600" * 10000,
    "ab" * 5000,
    " a" * 5000,
    "\u1112\u1161\u11ab" * 3333,
    "=" * 10000 + "\n" * 9,
    "\u4f60\u597d" * 5000,
    " " * 9999 + "x",
    "e\u0301" * 5000,
    "\r\n" * 5000,
    "aA" * 5000 + "'s",
]
INVALID = [
    b"\xff",
    b"a\xc3",
    b"\xc3(",
    b"\xe2\x82",
    b"\xe2\x82x\xf0\x9f\x98",
    b"\xf0\x9f\x98\x80\xf0\x9f",
    b"\xed\xa0\x80\xed\xb0\x80",
    b"\xc0\x80\xc1\xbf",
    b"\xf4\x90\x80\x80\xf8\x88",
    b"ok \x80\x81 ok \xfe\xff",
    "é".encode() + b"\xa9\xa9" + "日本".encode()[:-1],
    b"\xe0\x80\x80 \xf0\x80\x80\x80",
]

ALPHABET = (
    list("abcdest'SLMKvTr  \n\r\t0123.,!?-_<>|\"")
    + ["'s", "'ll", "'RE", "  ", "\r\n", "the", " and", "\n\n"]
    + list(SPACES)
    + list(
        "\u00e9\u0301\u0327\u0323\u0302\u0308\u017f\u212a\u0130\u00df\u0661\u00b2\u2167\u4f60\u597d\u3042\u3099\u304b\u1112\u1161\u11ab\uac00\u0e33\u0939\u093f\u094d\u0628\u0651\u064e"
    )
    + list("\u0338\u200b\u200d\ufe0f\U0001f600\U0001f3fd\U0001f1e9\U0001d7d8\u0378\u0000\u0344\u2126")
)


def with_tokens(tokens):
    """Text around and inside the given tokens, whole and broken."""
    texts = []
    for token in tokens:
        texts += [
            token,
            f"a{token}b",
            f" {token} ",
            f"\n{token}\n",
            f"{token}{token}",
            token[:-1],
            token[1:],
            f"{token[:-1]} {token[-1]}",
            f"e{token}\u0301",
            # NFC makes one character of ">" and U+0338, so that the token is none.
            f"{token}\u0338",
            f"a{token}\u0301\u0338b",
            f"{token[0]}\u0338{token[1:]}",
            f"{token}{token}\u0338",
            f"e\u0301{token}e\u0301\u0327",
            f"<{token}>",
            f"'{token}'s",
            f"1{token}2",
            f"\u3000{token}\u00a0",
            f"{token[:3]}{token}",
            f"x\r\n{token}  y",
            token.upper(),
        ]
    texts.append("".join(tokens))
    texts.append(" ".join(tokens))
    return texts


def random_texts(seed, count, tokens):
    rng = random.Random(seed)
    letters = ALPHABET + list(tokens)
    return ["".join(rng.choice(letters) for _ in range(rng.randint(1, 50))) for _ in range(count)]


def texts(tokens):
    """All of it; `tokens` are strings that a tokenizer gives a meaning of its own."""
    fixed = SENTENCES + CODE + CONTRACTIONS + MARKS + EMOJI + NUMBERS + UNASSIGNED + WHITESPACE
    return fixed + with_tokens(tokens) + random_texts(20251125, 400, tokens) + RUNS
