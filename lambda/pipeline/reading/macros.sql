-- Checks and conversions of cells. Each macro is tested by one SELECT over a table of examples
-- (lambda/tests/unit/reading/test_macros.py).

-- The text of a cell without the quotes around it; a doubled quote becomes one quote.
CREATE MACRO unquoted(cell) AS
    CASE WHEN starts_with(cell, '"') THEN replace(substring(cell, 2, length(cell) - 2), '""', '"') ELSE cell END;

-- A whole number that fits into 64 bits. The pattern comes first, since the cast would also accept other forms.
CREATE MACRO is_integer(cell) AS
    regexp_full_match(cell, '-?[0-9]{1,18}')
    OR (regexp_full_match(cell, '-?0*[0-9]{19}') AND TRY_CAST(cell AS BIGINT) IS NOT NULL);

-- Whether a reference has the usual form, so that it is not empty and has nothing to trim: it begins with an ASCII letter
-- or digit and ends with a visible ASCII character. Comparing takes a fraction of the time of a regular expression.
CREATE MACRO is_usual_reference(cell) AS
    cell >= '0' AND cell < '{' AND NOT (cell >= ':' AND cell < 'A') AND NOT (cell >= '[' AND cell < 'a')
    AND cell[-1] BETWEEN '!' AND '~';

-- A cell without invisible characters at both ends. Most cells have none, and the pattern is slow.
CREATE MACRO trimmed(cell) AS
    CASE WHEN is_usual_reference(cell) THEN cell
        ELSE regexp_replace(cell, '^[{invisible}]+|[{invisible}]+$', '', 'g') END;

-- A cell as a reference: trimmed, and empty without any letter or digit.
CREATE MACRO as_reference(cell) AS
    CASE WHEN is_usual_reference(cell) THEN cell WHEN regexp_matches(cell, '[\p{L}\p{N}]') THEN trimmed(cell) ELSE '' END;

-- A cell as a column name, to be compared with the header's.
CREATE MACRO as_column_name(cell) AS lower(regexp_replace(cell, '^["{invisible}]+|["{invisible}]+$', '', 'g'));

-- Whether a whole number has the usual form: up to 18 digits and nothing to trim. Most quantities are a single digit. For others, a cast takes
-- half the time of the pattern; a cast that fails is slow, so cells that begin with a letter are not cast.
CREATE MACRO is_usual_integer(cell) AS
    CASE WHEN strlen(cell) = 1 AND cell BETWEEN '0' AND '9' THEN true
        WHEN cell BETWEEN '-' AND ':' AND strlen(cell) <= 18 AND TRY_CAST(cell AS BIGINT)::VARCHAR = cell THEN true
        ELSE regexp_full_match(cell, '-?[0-9]{1,18}') END;

-- The value of an amount that is written with a point and two decimals, else NULL, in two steps, so that DuckDB casts each
-- cell once. What is read back equals the cell, so nothing was rounded or interpreted.
CREATE MACRO rounded(cell) AS CASE WHEN cell BETWEEN '-' AND ':' THEN TRY_CAST(cell AS DECIMAL(16,2)) END;
CREATE MACRO as_cents(cell, rounded) AS CASE WHEN rounded::VARCHAR = cell THEN rounded END;

-- A row id as a number, NULL if the cell is empty. All ids that are not numbers become the same number. The cast ignores
-- blanks around a number, so only cells that can't be cast are trimmed: inside a `CASE`, or DuckDB would trim all.
CREATE MACRO id_number(cell) AS
    CASE WHEN TRY_CAST(cell AS UBIGINT) IS NOT NULL THEN TRY_CAST(cell AS UBIGINT)
        WHEN cell <> '' THEN coalesce(TRY_CAST(trimmed(cell) AS UBIGINT), 18446744073709551615::UBIGINT) END;

-- A plain decimal number: up to 14 digits before the decimal mark and 4 after it.
CREATE MACRO is_amount(cell, mark) AS
    regexp_full_match(cell, '-?[0-9]{1,14}(?:[' || mark || '][0-9]{1,4})?');

-- The value of a cell that `is_amount` accepts. The cast can't round, as the type holds all accepted digits.
CREATE MACRO as_amount(cell, mark) AS
    CAST(CASE WHEN mark = '.' THEN cell ELSE replace(cell, mark, '.') END AS DECIMAL(18,4));

-- A cell as error messages show it: at most `length` characters; invisible ones, but for the space, as escapes.
CREATE MACRO shortened(cell, length) AS
    CASE WHEN length(cell) > length THEN substring(cell, 1, length - 1) || '…' ELSE cell END;
CREATE MACRO escaped(cell) AS
    CASE WHEN regexp_matches(cell, '[{invisible}]')
        THEN array_to_string(list_transform(string_split(cell, ''), lambda c:
            CASE WHEN c = ' ' OR NOT regexp_full_match(c, '[{invisible}]') THEN c
                WHEN c = chr(9) THEN '\t' WHEN c = chr(10) THEN '\n' WHEN c = chr(13) THEN '\r'
                WHEN unicode(c) < 256 THEN printf('\x%02x', unicode(c))
                WHEN unicode(c) < 65536 THEN printf('\u%04x', unicode(c)) ELSE printf('\U%08x', unicode(c)) END), '')
        ELSE cell END;
CREATE MACRO shown(cell, length := 80) AS coalesce(escaped(shortened(cell, length)), '');

-- A text in which no spreadsheet finds a formula, wherever it cuts cells: before characters that begin a formula, but behind
-- a letter or digit, an apostrophe is put. It is put before apostrophes, too, so that `record` is restored by its removal.
CREATE MACRO no_formula(text) AS
    regexp_replace(text, '(^|[^\p{L}\p{N}=+\-@＝＋－＠''])([=+\-@＝＋－＠'']+)', '\1''\2', 'g');
CREATE MACRO no_formula_in_sentence(text) AS
    regexp_replace(text, '(^|[^\p{L}\p{N}=+\-@＝＋－＠])([=+\-@＝＋－＠]+)', '\1''\2', 'g');

-- Whether an amount may as well be grouped: with that mark, exactly three digits follow one to three others.
CREATE MACRO may_group(cell, mark) AS regexp_full_match(cell, '-?[1-9][0-9]{0,2}[' || mark || '][0-9]{3}');

-- Whether a cell shows that a mark groups thousands: it is there twice, or before the other mark.
CREATE MACRO shows_grouping(cell, mark) AS
    regexp_full_match(cell, '-?[0-9]{1,3}(?:[' || mark || '][0-9]{3}){2,}(?:[.,][0-9]+)?')
    OR regexp_full_match(cell, '-?[0-9]{1,3}[' || mark || '][0-9]{3}[' || translate(mark, '.,', ',.') || '][0-9]+');

-- Why a cell is no amount.
CREATE MACRO amount_hint(cell, mark) AS
    CASE WHEN cell = '' THEN 'it is empty'
        WHEN regexp_matches(cell, '^[-+]?[0-9.,]+[eE][-+]?[0-9]+$') THEN 'it has an exponent'
        WHEN regexp_matches(cell, '^[\x{2010}-\x{2015}\x{2212}\x{fe63}\x{ff0d}]') THEN 'its minus is not the character -'
        WHEN regexp_matches(cell, '^[0-9.,]+ ?[-\x{2010}-\x{2015}\x{2212}]$') THEN 'its minus is behind the number'
        WHEN regexp_matches(cell, '^\([0-9.,]+\)$') THEN 'it is in parentheses; a negative amount begins with -'
        WHEN starts_with(cell, '+') THEN 'it begins with +'
        WHEN regexp_matches(cell, '\p{Sc}') OR regexp_matches(cell, '(?i)^([A-Z]{3} ?-?[0-9.,]+|-?[0-9.,]+ ?[A-Z]{3})$')
            THEN 'it has a currency'
        WHEN regexp_full_match(cell, '-?[0-9]{15,}(?:[' || mark || '][0-9]+)?')
            THEN 'it has more than 14 digits before the decimal mark'
        WHEN regexp_full_match(cell, '-?[0-9]+[' || mark || '][0-9]{5,}') THEN 'it has more than 4 decimals'
        WHEN shows_grouping(cell, '.') OR shows_grouping(cell, ',')
            OR regexp_matches(cell, '^-?[0-9]{1,3}(?:[ ''_\x{a0}\x{2009}\x{202f}\x{2019}][0-9]{3})+([.,][0-9]+)?$')
            THEN 'its thousands are grouped'
        WHEN is_amount(cell, translate(mark, '.,', ',.'))
            THEN 'the decimal mark of this file is the ' || CASE mark WHEN ',' THEN 'comma' ELSE 'point' END
        WHEN regexp_matches(cell, '^-?[.,][0-9]+$|^-?[0-9]+[.,]$') THEN 'a digit is missing beside its decimal mark'
        ELSE 'it must consist of digits, with - before a negative one and one decimal mark' END;

-- What is wrong with a whole number, or with the quotes of a record, if it is a usual mistake.
CREATE MACRO integer_hint(cell) AS
    CASE WHEN cell = '' THEN '; it is empty' WHEN regexp_full_match(cell, '-?[0-9]+[.,]0*') THEN '; it must have no decimal mark'
        WHEN regexp_full_match(cell, '-?[0-9]{19,}') THEN '; it is too large' END;
CREATE MACRO quotes_hint(line, blank_before_quote) AS
    CASE WHEN contains(line, '\"') THEN '; a backslash does not do that'
        WHEN regexp_matches(line, blank_before_quote) THEN '; put no blank before it' END;

-- How often a single-byte character occurs in a text.
CREATE MACRO count_of(text, character) AS strlen(text) - strlen(replace(text, character, ''));

-- An exact amount in plain notation without trailing zeros. Nearly all amounts fit into 64 bits: these are compared and
-- written several times faster.
CREATE MACRO short_number_text(amount) AS
    CASE WHEN amount <> amount::DECIMAL(18,2) THEN rtrim(amount::VARCHAR, '0')
        WHEN amount <> amount::DECIMAL(18,1) THEN amount::DECIMAL(18,2)::VARCHAR
        WHEN amount <> amount::DECIMAL(18,0) THEN amount::DECIMAL(18,1)::VARCHAR
        ELSE amount::BIGINT::VARCHAR END;
CREATE MACRO number_text(amount) AS
    CASE WHEN amount BETWEEN -99999999999999 AND 99999999999999 THEN short_number_text(amount::DECIMAL(18,4))
        ELSE rtrim(rtrim(amount::VARCHAR, '0'), '.') END;
