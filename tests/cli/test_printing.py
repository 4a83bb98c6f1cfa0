"""What commands print."""

import csv
import io

from tripletrec.cli.printing import print_rows


def test_texts_that_end_lines_are_in_quotes():
    rows = [["a", 1], ["a\rb", 2], ["a\nb", 0.5], ["a\tb", None]]
    print_rows(("id", "n"), rows, file=(file := io.StringIO(newline="")))
    assert file.getvalue() == 'id\tn\na\t1\n"a\rb"\t"2"\n"a\nb"\t0.5\n"a\tb"\t\n'
    file.seek(0)
    assert [each[0] for each in csv.reader(file, delimiter="\t")] == [
        "id",
        "a",
        "a\rb",
        "a\nb",
        "a\tb",
    ]
