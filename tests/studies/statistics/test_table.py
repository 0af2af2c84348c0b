import numpy as np
import pytest

from studies.statistics.table import CHUNK, TableError, read
from studies.statistics.votes import BadVote, from_columns

HEADER = "participant,item,left,right,choice\n"


def votes(*lines, header=HEADER):
    return read((header + "".join(line + "\n" for line in lines)).encode())


def refused(data, header=HEADER):
    with pytest.raises(TableError) as caught:
        read(data if isinstance(data, bytes) else (header + data).encode())
    return str(caught.value)


def test_it_works():
    found = votes("ann,1,baseline,se2p,right", "ann,2,se2p,baseline,left", "bob,1,baseline,se2p,tie")

    assert len(found) == 3
    assert found.conditions == ["baseline", "se2p"]
    assert (found.left.tolist(), found.right.tolist(), found.choice.tolist()) == (
        [0, 1, 0],
        [1, 0, 1],
        [1, 0, 2],
    )
    assert [found.participant[i] for i in range(3)] == ["ann", "ann", "bob"]
    assert (found.block.names, found.cluster, found.rt_ms) == (["all"], None, None)


def test_a_byte_order_mark_semicolons_and_windows_line_ends_are_read():
    data = "\ufeffparticipant;item;left;right;choice;rt_ms\r\nänn;1;a;b;left;812,5\r\nbob;1;b;a;right;\r\n"
    found = read(data.encode())

    assert found.participant[0] == "änn"
    assert found.rt_ms[0] == 812.5
    assert np.isnan(found.rt_ms[1])


def test_tabs_and_columns_in_any_order_with_others_between_are_read():
    found = read(b"note\tchoice\titem\tleft\tright\tparticipant\nx\ttie\t1\ta\tb\tann\n")

    assert (found.participant[0], found.choice[0]) == ("ann", 2)


def test_quoted_cells_may_hold_line_breaks_separators_and_quotes():
    found = votes('ann,"a\nprompt, with ""quotes""",a,b,left', "bob,2,a,b,tie")

    assert found.item[0] == 'a\nprompt, with "quotes"'


def test_blank_lines_and_lines_of_separators_only_are_skipped():
    found = votes("", "ann,1,a,b,left", ",,,,", "", "bob,1,a,b,left", "")

    assert len(found) == 2


def test_blanks_around_labels_do_not_make_them_others():
    found = votes("ann, 1,a,b,left", "ann ,2,a ,b, right ")

    assert found.participant.names == ["ann"]
    assert found.conditions == ["a", "b"]


def test_an_error_after_quoted_line_breaks_has_the_line_of_the_file():
    message = refused('ann,"1\n2\n3",a,b,left\n\nann,2,a,b,up\n')

    assert message.startswith("line 6, column choice: 'up' is no choice; write left, right or tie")


def test_an_error_beyond_the_first_chunk_has_its_line():
    rows = "".join(f"p{i},1,a,b,left\n" for i in range(CHUNK + 5))

    assert refused(rows + "ann,1,a,a,left\n").startswith(
        f"line {CHUNK + 7}, column right: 'a' stands on both sides"
    )
    assert refused(rows + "ann,1,a,b\n").startswith(f"line {CHUNK + 7}: 4 cells, the header has 5")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "line 1: the file is empty"),
        (b"\n\n", "line 1: the file is empty"),
        (b"participant,item,left,choice\nann,1,a,left\n", "line 1, column right: no column right among"),
        (b"a b c\n", "line 1, column participant: no column participant, item"),
        (b"participant,item,left,right,choice,item\n", "line 1, column item: the column stands 2 times"),
        (HEADER.encode(), "line 2: the file has a header and no votes"),
        (HEADER.encode("utf-16"), "line 1: the file is UTF-16"),
        (
            HEADER.encode() + b"ann,1,a,b,left\nj\xfcrg,1,a,b,left\n",
            "line 3, column participant: byte 0xfc is not UTF-8",
        ),
        (HEADER.encode() + b"ann,1,a,b\xe9,left\n", "line 2, column right: byte 0xe9 is not UTF-8"),
        (b"particip\xe4nt,item\n", "line 1: byte 0xe4 is not UTF-8"),
        (HEADER.encode() + b"\xe9va,1,a,b,left\n", "line 2, column participant: byte 0xe9 is not UTF-8"),
        (bytes(range(256)) * 3, "line 1: a null character"),
        (bytes(range(1, 256)) * 3, "line 2: byte 0x80 is not UTF-8"),
        (HEADER.encode() + b"ann,1\0,a,b,left\n", "line 2, column item: a null character; save the file"),
        (HEADER.encode("utf-16-le"), "line 1: a null character"),
    ],
)
def test_files_that_cannot_be_read_are_refused_with_the_place(data, message):
    assert refused(data).startswith(message)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("ann,1,a,b,Left\n", "line 2, column choice: 'Left' is no choice"),
        ("ann,1,a,b,\n", "line 2, column choice: '' is no choice"),
        ("ann,1,a,a,left\n", "line 2, column right: 'a' stands on both sides"),
        (",1,a,b,left\n", "line 2, column participant: participant is empty"),
        ("ann,1,a, ,left\n", "line 2, column right: right is empty"),
        (
            "ann,1,a,b,left\nann,2,a,b,left\nann,1,b,a,tie\n",
            "line 4, column participant: a second main vote of 'ann'",
        ),
        ('ann,"1,a,b,left\nbob,1,a,b,left\n', "line 2: unexpected end of data; close every quote"),
        ('ann,1,a,b,left\nann,"2"x,a,b,left\n', "line 3: "),
        ("ann,1,a,b,left,more\n", "line 2: 6 cells, the header has 5; quote a cell that holds a comma"),
    ],
)
def test_votes_that_cannot_be_analysed_are_refused_by_line(rows, message):
    assert refused(rows).startswith(message)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("kind", "trial", "line 2, column kind: 'trial' is no kind; write main, repeat, practice or catch"),
        ("mode", "test", "line 2, column mode: 'test' is no mode"),
        ("kind", "catch", "line 2, column left: a catch trial without 'catch' on a side"),
        ("rt_ms", "fast", "line 2, column rt_ms: 'fast' is no response time"),
        ("rt_ms", "nan", "line 2, column rt_ms: 'nan' is no response time"),
        ("rt_ms", "-5", "line 2, column rt_ms: a response time of -5 ms"),
        ("block", "", "line 2, column block: block is empty"),
        ("cluster", "", "line 2, column cluster: cluster is empty"),
    ],
)
def test_optional_columns_are_checked(column, value, message):
    assert refused(f"ann,1,a,b,left,{value}\n", HEADER.strip() + f",{column}\n").startswith(message)


def test_an_item_in_two_clusters_is_refused():
    rows = "ann,1,a,b,left,x\nbob,1,a,b,left,y\n"

    assert refused(rows, HEADER.strip() + ",cluster\n").startswith(
        "line 3, column cluster: item '1' is in cluster 'y'"
    )


def test_the_same_item_in_two_blocks_questions_pairs_or_modes_is_no_second_vote():
    header = HEADER.strip() + ",block,question,mode\n"
    rows = (
        "ann,1,a,b,left,x,q,live",
        "ann,1,a,b,left,y,q,live",
        "ann,1,a,b,left,x,r,live",
        "ann,1,a,c,left,x,q,live",
        "ann,1,a,b,left,x,q,pilot",
    )

    assert votes(*rows, header=header).block.names == ["x / q", "x / r", "y / q"]


def test_one_question_does_not_change_the_block_names():
    header = HEADER.strip() + ",question\n"

    assert votes("ann,1,a,b,left,quality", header=header).block.names == ["all"]
    assert votes("ann,1,a,b,left,q", "ann,1,a,b,left,r", header=header).block.names == ["all / q", "all / r"]


def test_a_million_different_labels_do_not_overflow_the_key_of_a_second_vote():
    n = 3000
    columns = {
        "participant": [f"p{i}" for i in range(n)],
        "item": [f"i{i}" for i in range(n)],
        "left": [f"l{i}" for i in range(n)],
        "right": [f"r{i}" for i in range(n)],
        "choice": ["left"] * n,
        "block": [f"b{i}" for i in range(n)],
    }
    assert len(from_columns(columns)) == n
    with pytest.raises(BadVote) as caught:
        from_columns({name: [*values, values[7]] for name, values in columns.items()})
    assert caught.value.row == n


def test_columns_in_memory_and_a_file_give_the_same_votes():
    file = votes("ann,1,a,b,left", "bob,1,b,a,tie")
    memory = from_columns(
        {
            "participant": ["ann", "bob"],
            "item": [1, 1],
            "left": ["a", "b"],
            "right": ["b", "a"],
            "choice": ["left", "tie"],
        }
    )

    assert file.conditions == memory.conditions
    for name in ("left", "right", "choice", "kind", "mode"):
        assert getattr(file, name).tolist() == getattr(memory, name).tolist()


def test_columns_of_unequal_length_or_missing_are_refused():
    with pytest.raises(ValueError, match="lack the columns right"):
        from_columns({"participant": ["a"], "item": ["1"], "left": ["a"], "choice": ["left"]})
    with pytest.raises(ValueError, match="column item has 2 values"):
        from_columns(
            {"participant": ["a"], "item": ["1", "2"], "left": ["a"], "right": ["b"], "choice": ["left"]}
        )


def test_quotes_change_nothing_but_the_way_of_reading():
    """A plain text is split by a faster reader; both must see the same votes."""
    rng = np.random.default_rng(1)
    rows = [
        f"p{rng.integers(50)},i{k},a,b{rng.integers(3)},{['left', 'right', 'tie'][rng.integers(3)]}"
        for k in range(3000)
    ]
    plain = read((HEADER + "\n".join(rows)).encode())
    for other in (
        HEADER + "\n".join(row.replace("i", '"i', 1).replace(",a", '",a', 1) for row in rows) + "\n",
        HEADER + "\r\n".join(rows) + "\r\n",
        HEADER + "\r".join(rows),
        HEADER + "\n\n".join(rows) + "\n,,,,\n",
    ):
        found = read(other.encode())
        for name in ("left", "right", "choice"):
            assert getattr(found, name).tolist() == getattr(plain, name).tolist()
        assert [found.item[i] for i in range(3000)] == [plain.item[i] for i in range(3000)]
        assert found.participant.codes.tolist() == plain.participant.codes.tolist()


def test_blank_lines_before_the_header_do_not_make_it_a_vote():
    assert len(read(("\n" * 1500 + HEADER + "ann,1,a,b,left\n").encode())) == 1


@pytest.mark.parametrize(
    "row",
    [
        "p,1,x,y," + "u" * 5000,
        "p,1,x,y,left," + "9" * 5000,
        "p,1," + "x" * 5000 + "," + "x" * 5000 + ",left,",
    ],
)
def test_a_long_cell_does_not_fill_the_message(row):
    with pytest.raises(TableError) as refused:
        read(f"participant,item,left,right,choice,rt_ms\n{row}{',' if row.count(',') < 5 else ''}\n".encode())

    assert len(str(refused.value)) < 300
