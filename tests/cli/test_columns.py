"""Which column of a table is which."""

import pytest

import tripletrec as tr
from tripletrec.cli.columns import guess

NAMES = {
    "user": ["user", "user_id", "userId", "UserID", "customer_id"],
    "item": ["item", "item_id", "itemId", "product_id", "movieId", "sku"],
    "value": ["value", "rating", "Stars"],
    "timestamp": ["time", "timestamp", "ts", "event_time", "created_at", "ordered_at"],
}


@pytest.mark.parametrize("role", list(NAMES))
def test_common_names_are_known(role):
    for name in NAMES[role]:
        assert guess(role, ["price", name, "event"]) == name
    assert guess(role, ["price", "event"]) is None


def test_the_plainest_name_wins_and_equals_are_refused():
    assert guess("user", ["user_id", "user"]) == "user"
    with pytest.raises(ValueError, match="'user_id' and 'userId' could both be"):
        guess("user", ["user_id", "userId"])


@pytest.fixture
def ratings(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text("who,movieId,rating,ts\nann,1,5,10\nann,2,1,20\nbob,1,4,30\nbob,3,0,40\n")
    return path


def test_what_is_not_obvious_is_asked_for(ratings, failed):
    message = failed("describe", ratings)
    assert "looks like that of the users: give --user; there are 'who', 'movieId'" in message


def test_other_separators_are_told(failed, tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text("user;item\na;b\n")
    assert "has ';' between its columns: a .csv has commas, a .tsv tabs" in failed("describe", path)


def test_guesses_are_said(ratings, command):
    code, out, err = command("describe", ratings, "--user", "who")
    assert err == f"tripletrec: {ratings}: --item movieId --value rating --time ts\n"
    assert command("describe", ratings, "--user", "who", "--quiet") == (0, out, "")


def test_guesses_are_said_unless_all_are_the_names_of_the_options(command, tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text("user,item,time\nann,1,10\n")
    assert command("describe", path)[2] == ""
    path.write_text("user,movieId,time\nann,1,10\n")
    assert command("describe", path)[2] == (
        f"tripletrec: {path}: --user user --item movieId --time time\n"
    )


def test_options_say_what_is_read(ratings, as_json):
    described = as_json("describe", ratings, "--user", "who")
    assert (described["interactions"], described["first"]) == (3, 10)  # a value of 0 is none
    described = as_json("describe", ratings, "--user", "who", "--value", "none", "--time", "none")
    assert (described["interactions"], described["first"]) == (4, None)
    described = as_json("describe", ratings, "--user", "who", "--min-value", "4")
    assert described["interactions"] == 2


def test_columns_that_are_not_there(ratings, failed):
    assert "'nobody'" in failed("describe", ratings, "--user", "nobody")
    arguments = ["--user", "who", "--value", "none", "--min-value", "4"]
    assert "--min-value needs a column of values" in failed("describe", ratings, *arguments)


def test_parquet_and_folders(ratings, as_json, tmp_path):
    pytest.importorskip("pyarrow")
    data = tr.Interactions.read(ratings, user="who", item="movieId", timestamp="ts")
    folder = tmp_path / "events" / "day=1"
    folder.mkdir(parents=True)
    data.to_frame().drop(columns="timestamp").to_parquet(folder / "part.parquet")
    described = as_json("describe", tmp_path / "events")
    assert (described["interactions"], described["first"]) == (4, 1)


def test_a_matrix_has_no_columns(small, as_json, refused, tmp_path):
    from scipy.sparse import save_npz

    save_npz(tmp_path / "x.npz", small.tocsr())
    assert as_json("describe", tmp_path / "x.npz")["interactions"] == small.nnz
    assert "which has no columns" in refused("describe", tmp_path / "x.npz", "--user", "u")


def test_one_column_is_not_both(ratings, refused):
    message = refused("describe", ratings, "--user", "movieId")
    assert "--user and --item must be two columns, got 'movieId' for both" in message


def test_events_that_lack_something(failed, command, as_json, tmp_path):
    log = tmp_path / "log.csv"
    lines = [f"{n % 5},{n % 7},{n % 3},{n}" for n in range(30)]
    log.write_text(
        "\n".join(["user,item,value,time", *lines, ",1,1,31", "1,,1,32", "1,1,NaN,33", "1,1,1,"])
    )
    assert "and 1 in all: --drop-missing leaves out such rows" in failed("describe", log)
    code, out, err = command("describe", log, "--drop-missing")
    assert code == 0 and "4 events are left out, for they lack a user, an item, a value or" in err
    path = tmp_path / "m.safetensors"
    small = ["--model", "popularity", "--drop-missing"]
    assert as_json("fit", log, *small, "-o", path)["interactions"] == 20
    assert "--drop-missing" in failed("evaluate", path, log)
    assert as_json("evaluate", path, log, "--with-seen", "--drop-missing")["dropped"] == 4
    for by in ("time", "random", "last"):
        rows = as_json("split", log, "--by", by, "--drop-missing", "-o", tmp_path / by)
        assert rows[0]["dropped"] == 4
