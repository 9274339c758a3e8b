package ratelimit

import "unicode"

// appendPlain appends r as those see it who heed neither letter case nor
// accents nor width, as many databases compare and some frameworks normalise:
// ſ, Ś and full-width ｓ are s, and the digits of every script 0 to 9. What no eye
// sees or collations ignore is left out: marks of every script, and with them some
// vowels.
func appendPlain(b []byte, r rune) []byte {
	if 0xff01 <= r && r <= 0xff5e {
		r -= 0xff01 - '!' // full-width forms of ASCII
	}
	r = unicode.ToLower(unicode.ToUpper(r))
	base := byte('?')
	switch {
	case r < 0xc0:
	case r <= 0x24f:
		base = latin[r-0xc0]
	case 0x1e00 <= r && r <= 0x1eff:
		base = vietnamese[r-0x1e00]
	}
	if base != '?' {
		return append(b, base)
	}
	switch r {
	case 'ß':
		return append(b, "ss"...)
	case 'æ', 'ǣ', 'ǽ':
		return append(b, "ae"...)
	case 'œ':
		return append(b, "oe"...)
	case 'ĳ':
		return append(b, "ij"...)
	case '·', '\u0387', '\u0640', '\u07fa', '\u0824', '\u0828', '\u180a', '\u1cd3', '\u1cf2', '\u1cf3', '\uff9e', '\uff9f':
		return b // no marks, but of no weight in collations
	}
	if r > unicode.MaxASCII && unicode.Is(unicode.Nd, r) {
		return append(b, decimalDigit(r))
	}
	if unicode.In(r, unicode.Cc, unicode.Cf, unicode.M, unicode.Other_Default_Ignorable_Code_Point) {
		return b
	}
	return append(b, string(r)...)
}

// decimalDigit is the ASCII digit of a digit of any script. Each script has its
// ten in a row.
func decimalDigit(r rune) byte {
	zero := r
	for unicode.Is(unicode.Nd, zero-1) {
		zero--
	}
	return '0' + byte((r-zero)%10)
}

// latin has the letter below the accents of U+00C0 to U+024F, else a question
// mark.
const latin = "aaaaaa?ceeeeiiii?nooooo?ouuuuy??aaaaaa?ceeeeiiiidnooooo?ouuuuy?y" +
	"aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiii??jjkk?llllll?" +
	"?llnnnnnn???oooooo??rrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs" +
	"????????????????????????????????oo?????????????uu???????????????" +
	"?????????????aaiioouuuuuuuuuu?aaaa????ggkkoooo??j???gg??nnaa??oo" +
	"aaaaeeeeiiiioooorrrruuuusstt??hh??????aaeeooooooooyy????????????" +
	"????????????????"

// vietnamese is the same for U+1E00 to U+1EFF.
const vietnamese = "aabbbbbbccddddddddddeeeeeeeeeeffgghhhhhhhhhhiiiikkkkkkllllllllmm" +
	"mmmmnnnnnnnnoooooooopppprrrrrrrrssssssssssttttttttuuuuuuuuuuvvvv" +
	"wwwwwwwwwwxxxxyyzzzzzzhtwy?s????aaaaaaaaaaaaaaaaaaaaaaaaeeeeeeee" +
	"eeeeeeeeiiiioooooooooooooooooooooooouuuuuuuuuuuuuuyyyyyyyy??????"

// lookalikes are what normalising by NFKC makes ASCII of, beyond what
// appendPlain knows: superscripts, letters in circles or of mathematics,
// ligatures, fractions, units. So are letters and numbers that collations take for
// others: those above others, of old hands, and counts that are no digits. No name
// has them, so that one which does is told apart from no other.
var lookalikes = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0xaa, 0xaa, 1}, {0xb2, 0xb3, 1}, {0xb9, 0xba, 1}, {0xbc, 0xbe, 1},
		{0x13f, 0x140, 1}, {0x149, 0x149, 1}, {0x1c4, 0x1cc, 1}, {0x1f1, 0x1f3, 1}, {0x2b0, 0x2b8, 1}, {0x2e0, 0x2e4, 1},
		{0x363, 0x36f, 1}, {0x37e, 0x37e, 1}, {0x1abf, 0x1ac0, 1}, {0x1acc, 0x1ace, 1},
		{0x1d2c, 0x1d6a, 1}, {0x1d79, 0x1d79, 1}, {0x1d9b, 0x1dbf, 1}, {0x1dca, 0x1dca, 1}, {0x1dd3, 0x1df4, 1}, {0x1e9a, 0x1e9a, 1}, {0x1fef, 0x1fef, 1},
		{0x2024, 0x2026, 1}, {0x203c, 0x203c, 1}, {0x2047, 0x2049, 1}, {0x2070, 0x209c, 1}, {0x20a8, 0x20a8, 1},
		{0x2100, 0x218b, 1}, {0x2260, 0x2260, 1}, {0x226e, 0x226f, 1}, {0x2460, 0x24ff, 1},
		{0x2a74, 0x2a76, 1}, {0x2c7c, 0x2c7d, 1}, {0x2de0, 0x2dff, 1}, {0x3200, 0x33ff, 1},
		{0xa674, 0xa67b, 1}, {0xa69e, 0xa69f, 1}, {0xa75a, 0xa75b, 1}, {0xa779, 0xa787, 1}, {0xa79a, 0xa7a9, 1},
		{0xa7c0, 0xa7c3, 1}, {0xa7d8, 0xa7d9, 1}, {0xa7f2, 0xa7f4, 1}, {0xa7f8, 0xa7f9, 1}, {0xfb00, 0xfb06, 1}, {0xfb29, 0xfb29, 1},
		{0xfc5e, 0xfc63, 1}, {0xfcf2, 0xfcf4, 1}, {0xfe10, 0xfe19, 1}, {0xfe30, 0xfe6b, 1}, {0xfe70, 0xfe7f, 1},
	},
	R32: []unicode.Range32{
		{0x10780, 0x107ba, 1}, {0x1d400, 0x1d7ff, 1}, {0x1e08f, 0x1e08f, 1}, {0x1f100, 0x1f1ad, 1}, {0x1fbf0, 0x1fbf9, 1},
	},
	LatinOffset: 4,
}
