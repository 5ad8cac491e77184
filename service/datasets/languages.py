"""Names and codes by which a language is known, to tell one from a slip of the pen."""

import difflib
import re
import unicodedata

from service.datasets.complaints import warning
from service.store.records import Json

# Those of ISO 639-1: code, name in English, other names; then some that have no such code.
_KNOWN = """
aa afar; ab abkhazian, abkhaz; ae avestan; af afrikaans; ak akan, twi; am amharic, አማርኛ; an aragonese, aragonés;
ar arabic, العربية; as assamese, অসমীয়া; av avaric, avar; ay aymara; az azerbaijani, azeri, azərbaycan; ba bashkir;
be belarusian, беларуская; bg bulgarian, български; bh bihari; bi bislama; bm bambara; bn bengali, bangla, বাংলা;
bo tibetan; br breton, brezhoneg; bs bosnian, bosanski; ca catalan, català, valencian; ce chechen; ch chamorro;
co corsican, corsu; cr cree; cs czech, čeština, cesky; cu church slavonic; cv chuvash; cy welsh, cymraeg;
da danish, dansk; de german, deutsch; dv divehi, dhivehi, maldivian; dz dzongkha; ee ewe; el greek, ελληνικά;
en english; eo esperanto; es spanish, español, espanol, castellano, castilian; et estonian, eesti; eu basque, euskara;
fa persian, farsi, فارسی; ff fulah, fula, fulfulde; fi finnish, suomi; fj fijian; fo faroese, føroyskt;
fr french, français, francais; fy western frisian, frisian, frysk; ga irish, gaeilge; gd scottish gaelic, gaelic;
gl galician, galego; gn guarani, guaraní; gu gujarati, ગુજરાતી; gv manx; ha hausa; he hebrew, עברית; hi hindi, हिन्दी;
ho hiri motu; hr croatian, hrvatski; ht haitian creole, haitian, french creole; hu hungarian, magyar;
hy armenian, հայերեն; hz herero; ia interlingua; id indonesian, bahasa indonesia; ie interlingue; ig igbo;
ii sichuan yi; ik inupiaq; io ido; is icelandic, íslenska; it italian, italiano; iu inuktitut; ja japanese, 日本語;
jv javanese, jawa; ka georgian, ქართული; kg kongo; ki kikuyu; kj kuanyama; kk kazakh, қазақша;
kl kalaallisut, greenlandic; km khmer, cambodian, ខ្មែរ; kn kannada, ಕನ್ನಡ; ko korean, 한국어; kr kanuri; ks kashmiri;
ku kurdish, kurdî; kv komi; kw cornish; ky kyrgyz, kirghiz, кыргызча; la latin, latina;
lb luxembourgish, lëtzebuergesch; lg ganda, luganda; li limburgish; ln lingala; lo lao, ລາວ; lt lithuanian, lietuvių;
lu luba katanga; lv latvian, latviešu; mg malagasy; mh marshallese; mi maori, māori; mk macedonian, македонски;
ml malayalam, മലയാളം; mn mongolian, монгол; mr marathi, मराठी; ms malay, bahasa melayu, bahasa malaysia;
mt maltese, malti; my burmese, မြန်မာ; na nauru; nb norwegian bokmål, bokmål; nd north ndebele; ne nepali, नेपाली;
ng ndonga; nl dutch, nederlands, flemish, vlaams; nn norwegian nynorsk, nynorsk; no norwegian, norsk;
nr south ndebele, ndebele; nv navajo; ny chichewa, nyanja, chewa; oc occitan; oj ojibwa; om oromo, afaan oromo;
or odia, oriya, ଓଡ଼ିଆ; os ossetian; pa punjabi, panjabi, ਪੰਜਾਬੀ; pi pali; pl polish, polski; ps pashto, pushto, پښتو;
pt portuguese, português, portugues, brazilian portuguese; qu quechua; rm romansh; rn rundi;
ro romanian, română, romana, moldovan; ru russian, русский; rw kinyarwanda; sa sanskrit; sc sardinian; sd sindhi;
se northern sami, sami; sg sango; si sinhala, sinhalese, සිංහල; sk slovak, slovenčina;
sl slovenian, slovene, slovenščina; sm samoan; sn shona; so somali, soomaali; sq albanian, shqip;
sr serbian, srpski, српски; ss swati; st southern sotho, sesotho; su sundanese; sv swedish, svenska;
sw swahili, kiswahili; ta tamil, தமிழ்; te telugu, తెలుగు; tg tajik; th thai, ไทย; ti tigrinya, ትግርኛ; tk turkmen;
tl tagalog, filipino; tn tswana, setswana; to tonga, tongan; tr turkish, türkçe, turkce; ts tsonga, xitsonga;
tt tatar; ty tahitian; ug uyghur, uighur; uk ukrainian, українська; ur urdu, اردو; uz uzbek, oʻzbek; ve venda;
vi vietnamese, tiếng việt; vo volapük; wa walloon; wo wolof; xh xhosa, isixhosa; yi yiddish, ייִדיש;
yo yoruba, yorùbá; za zhuang; zh chinese, mandarin, simplified chinese, traditional chinese, 中文, 汉语, 普通话;
zu zulu, isizulu; yue cantonese, 粤语; ceb cebuano; haw hawaiian; hmn hmong; bho bhojpuri; mai maithili; gom konkani;
mni meitei, manipuri; lus mizo; sat santali; tcy tulu; ilo ilocano; war waray; ast asturian; scn sicilian;
vec venetian; sco scots; nds low german; bar bavarian; gsw swiss german; hsb sorbian; ckb sorani; kmr kurmanji;
prs dari; nqo n'ko; pcm nigerian pidgin, pidgin, naija; luo dholuo; nso northern sotho, sepedi; syr aramaic, syriac;
und unknown; mul multilingual, multiple, mixed, various, other, any other, any
"""
_ENTRIES = [entry.strip().split(maxsplit=1) for entry in _KNOWN.split(";")]
CODES = frozenset(code for code, _ in _ENTRIES)
NAMES = frozenset(unicodedata.normalize("NFC", name) for _, names in _ENTRIES for name in names.split(", "))
_MARKS, _APOSTROPHES = re.compile("[-_() ]+"), re.compile("['’ʻʼ]")
_OF_THREE_LETTERS = re.compile("[a-z]{3}")  # ISO 639-3 has 8,000 of them


OF_DATASET = "send the data set anew with another, or name language or base_model in the job"
OF_JOB = "cancel the job and send it anew with another, or with base_model"


def language_warnings(language: str | None, advice: str = OF_DATASET) -> list[Json]:
    """`language_unknown`, where it is neither the name nor the code of one."""
    if language is None or _is_known(folded := _folded(language)):
        return []
    near = difflib.get_close_matches(_without_variety(folded), NAMES, n=1)
    meant = f", as {near[0]!r} is" if near else ""
    message = (
        f"{language!r} is no language known here by name or code (such as 'german', 'de'){meant}; jobs start from the "
        f"multilingual base model then; {advice}"
    )
    return [warning("language_unknown", message)]


def _folded(language: str) -> str:
    return unicodedata.normalize("NFC", language.strip()).casefold()


def _is_known(folded: str) -> bool:
    language = _without_variety(folded)
    code = re.split("[-_]", language)[0]
    is_named = not _BARE.isdisjoint((_bare(folded), _bare(language)))
    return is_named or code in CODES or bool(_OF_THREE_LETTERS.fullmatch(code))


def _without_variety(folded: str) -> str:
    """As in 'portuguese (brazil)'."""
    return folded.partition("(")[0].strip()


def _bare(name: str) -> str:
    """Without what is written in several ways."""
    return _MARKS.sub(" ", _APOSTROPHES.sub("", name)).strip()


_BARE = frozenset(map(_bare, NAMES))
