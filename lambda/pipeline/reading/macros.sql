-- The checks and conversions of cells. Each is tested by one SELECT over a table of examples
-- (lambda/tests/unit/reading/test_macros.py).

-- A line that holds nothing but blanks is no record.
CREATE MACRO is_blank(line) AS line IS NULL OR trim(line, ' ') = '';

-- The text of a cell without the quotes around it; a doubled quote stands for one.
CREATE MACRO unquoted(cell) AS
    CASE WHEN starts_with(cell, '"') THEN replace(substring(cell, 2, length(cell) - 2), '""', '"') ELSE cell END;

-- Blank, tab, line ends and the no-break space go from both ends.
CREATE MACRO trimmed(cell) AS trim(cell, ' ' || chr(9) || chr(13) || chr(10) || chr(160));

-- A whole number of 64 bits. Only digits get as far as the cast.
CREATE MACRO is_integer(cell) AS
    regexp_full_match(cell, '-?[0-9]{1,18}')
    OR (regexp_full_match(cell, '-?0*[0-9]{19}') AND TRY_CAST(cell AS BIGINT) IS NOT NULL);

-- A plain decimal number: up to 14 digits before the decimal mark and 4 after it.
CREATE MACRO is_amount(cell, mark) AS
    regexp_full_match(cell, '-?[0-9]{1,14}(?:[' || mark || '][0-9]{1,4})?');

-- The value of what `is_amount` accepts. The cast can't round: it gets no more digits than the type holds.
CREATE MACRO as_amount(cell, mark) AS
    CAST(CASE WHEN mark = '.' THEN cell ELSE replace(cell, mark, '.') END AS DECIMAL(18,4));

-- A cell as a sentence shows it: at most `length` characters; control characters, and those that change the direction
-- of text, as escapes.
CREATE MACRO shortened(cell, length) AS
    CASE WHEN length(cell) > length THEN substring(cell, 1, length - 1) || '…' ELSE cell END;
CREATE MACRO escaped(cell) AS
    CASE WHEN regexp_matches(cell, '[\x00-\x1f\x7f-\x9f\x{61c}\x{200e}\x{200f}\x{2028}-\x{202e}\x{2066}-\x{2069}]')
        THEN array_to_string(list_transform(string_split(cell, ''), lambda c:
            CASE WHEN c = chr(9) THEN '\t' WHEN c = chr(10) THEN '\n' WHEN c = chr(13) THEN '\r'
                WHEN regexp_full_match(c, '[\x00-\x1f\x7f-\x9f]') THEN printf('\x%02x', unicode(c))
                WHEN regexp_full_match(c, '[\x{61c}\x{200e}\x{200f}\x{2028}-\x{202e}\x{2066}-\x{2069}]')
                THEN printf('\u%04x', unicode(c))
                ELSE c END), '')
        ELSE cell END;
CREATE MACRO shown(cell, length := 80) AS coalesce(escaped(shortened(cell, length)), '');

-- A cell that no spreadsheet takes for a formula: an apostrophe stands before the characters that begin one, and before
-- an apostrophe, so that whoever wants the text as it was read takes one leading apostrophe away.
CREATE MACRO no_formula(cell) AS
    CASE WHEN regexp_matches(cell, '^[=+\-@\t\r\n\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}'']') THEN chr(39) || cell ELSE cell END;

-- How to write a price that has a decimal comma where the point is the decimal mark, or any other that is none.
CREATE MACRO amount_hint(cell, mark) AS
    CASE WHEN regexp_full_match(cell, '-?[0-9]{1,14},[0-9]{1,4}')
        THEN 'use ' || replace(cell, ',', '.') ELSE 'such as 12' || mark || '50' END;

-- How often a single character is in a text.
CREATE MACRO count_of(text, character) AS strlen(text) - strlen(replace(text, character, ''));
