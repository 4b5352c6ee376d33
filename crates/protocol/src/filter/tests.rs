//! The language of filters: what it means, what is refused and where, its bounds, and the round trip as a property.

use proptest::collection::vec;
use proptest::prelude::*;
use std::{format, string::String, string::ToString, vec::Vec};

use super::*;

fn parsed(text: &str) -> Filter {
    Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The filter with every `All` as `[...]` and every `Any` as `{...}`.
fn shape(filter: &Filter) -> String {
    let inside = |parts: &[Filter]| parts.iter().map(shape).collect::<Vec<_>>().join(" ");
    match filter {
        Filter::Term(term) => format!("{}{}{}", term.field, term.op, term.values.join(",")),
        Filter::All(parts) => format!("[{}]", inside(parts)),
        Filter::Any(parts) => format!("{{{}}}", inside(parts)),
    }
}

/// The parts of a filter of a single term.
fn single(text: &str) -> Term {
    match parsed(text) {
        Filter::Term(term) => term,
        Filter::All(_) | Filter::Any(_) => panic!("{text} is more than one term"),
    }
}

fn admits(text: &str, texts: &[&str]) -> bool {
    admits_values(text, texts.iter().map(|text| FieldValue::Text((*text).into())))
}

fn admits_values<'v>(text: &str, values: impl Iterator<Item = FieldValue<'v>>) -> bool {
    single(text).admits(values.collect::<Vec<_>>().iter())
}

/// Whether the filter admits a field that holds these numbers.
fn admits_numbers(text: &str, numbers: &[&str]) -> bool {
    admits_values(text, numbers.iter().map(|number| FieldValue::Number((*number).into())))
}

#[test]
fn and_binds_tighter_than_or_and_parentheses_group() {
    let cases = [
        ("a=1", "a=1"),
        ("a=1&b=2", "[a=1 b=2]"),
        ("a=1|b=2", "{a=1 b=2}"),
        ("a=1&b=2|c=3", "{[a=1 b=2] c=3}"),
        ("a=1|b=2&c=3", "{a=1 [b=2 c=3]}"),
        ("(a=1|b=2)&c=3", "[{a=1 b=2} c=3]"),
        ("a=1&(b=2|c=3)", "[a=1 {b=2 c=3}]"),
        ("a=1&((b=2|c=3)&d=4|e=5)", "[a=1 {[{b=2 c=3} d=4] e=5}]"),
        ("((a=1)|((b=2)))", "{a=1 b=2}"),
    ];
    for (text, expected) in cases {
        assert_eq!(shape(&parsed(text)), expected, "{text}");
    }
}

#[test]
fn a_group_of_the_same_kind_dissolves() {
    assert_eq!(parsed("(a=1&b=2)&(c=3)"), parsed("a=1&b=2&c=3"));
    assert_eq!(parsed("a=1|(b=2|(c=3|d=4))"), parsed("a=1|b=2|c=3|d=4"));
}

#[test]
fn each_operator_is_read_at_its_longest() {
    let cases = [
        ("a=1", Op::Equal, "1"),
        ("a!=1", Op::NotEqual, "1"),
        ("a>1", Op::Greater, "1"),
        ("a>=1", Op::GreaterOrEqual, "1"),
        ("a<1", Op::Less, "1"),
        ("a<=1", Op::LessOrEqual, "1"),
        ("a~1", Op::Contains, "1"),
        ("a=>1", Op::Equal, ">1"),
        ("a==1", Op::Equal, "=1"),
        ("a!==1", Op::NotEqual, "=1"),
        ("a>==1", Op::GreaterOrEqual, "=1"),
        ("a=", Op::Equal, ""),
        ("a!=", Op::NotEqual, ""),
        ("a>", Op::Greater, ""),
    ];
    for (text, op, value) in cases {
        let term = single(text);
        assert_eq!(
            (term.field.as_str(), term.op, &term.values[..]),
            ("a", op, &[value.to_string()][..]),
            "{text}"
        );
    }
}

#[test]
fn commas_part_values_and_an_empty_one_is_a_value() {
    let cases: [(&str, &[&str]); 6] = [
        ("a=x,y", &["x", "y"]),
        ("a=", &[""]),
        ("a=,", &["", ""]),
        ("a=x,", &["x", ""]),
        ("a= x , y ", &[" x ", " y "]),
        ("a=x(y,z)", &["x(y", "z)"]),
    ];
    for (text, values) in cases {
        assert_eq!(single(text).values, values, "{text}");
    }
}

#[test]
fn fields_hold_dots_colons_and_more() {
    let cases = [
        ("identifiers.gs1:01=x", "identifiers.gs1:01"),
        ("identifiers.a.b.c>1", "identifiers.a.b.c"),
        (r"identifiers.a\=b\&c=x", "identifiers.a=b&c"),
        (r"customFields.\(é\)~x", "customFields.(é)"),
        (r"\(a=x", "(a"),
        ("context.city=x", "context.city"),
        ("identifiers.a b!=x", "identifiers.a b"),
        ("a!b=x", "a!b"),
        ("a(b)=x", "a(b)"),
    ];
    for (text, field) in cases {
        assert_eq!(single(text).field, field, "{text}");
    }
}

#[test]
fn a_backslash_escapes_what_is_special_and_is_itself_elsewhere() {
    let cases = [
        (r"a=1\&b\=2", "1&b=2"),
        (r"a=1\|b\=2", "1|b=2"),
        (r"a=\!\>\<\=\~\(\)\,\\", r"!><=~(),\"),
        (r"a=x\,y", "x,y"),
        (r"a=C:\dir", r"C:\dir"),
        (r"a=é\é", r"é\é"),
        (r"a=x\", r"x\"),
        (r"a=x\\", r"x\"),
        (r"a=x\\\\y", r"x\\y"),
        (r"a=x\\&y", r"x\&y"),
        (r"(a=x\))", "x)"),
    ];
    for (text, value) in cases {
        assert_eq!(single(text).values, [value], "{text}");
    }
    assert_eq!(shape(&parsed(r"a=x\\|b=y")), r"{a=x\ b=y}");
}

#[test]
fn a_raw_ampersand_before_text_without_operator_joins_the_value() {
    let cases = [
        ("identifiers.gs1=1 2&3", "identifiers.gs1=1 2&3"),
        ("name=a&b&c", "name=a&b&c"),
        ("name=a&", "name=a&"),
        ("name=a&&b=1", "[name=a& b=1]"),
        ("name=Salt & Pepper&tags=x", "[name=Salt & Pepper tags=x]"),
        ("name=Hello & World!", "name=Hello & World!"),
        (r"name=a&b\=c", "name=a&b=c"),
        ("tags=a,b&c,d", "tags=a,b&c,d"),
        ("name!=a&b", "name!=a&b"),
        ("name=a&b|name=c&d", "{name=a&b name=c&d}"),
        ("(name=a&b)&c=1", "[name=a&b c=1]"),
        ("name=a&(b)", "name=a&(b)"),
        ("name=a&b=1", "[name=a b=1]"),
    ];
    for (text, expected) in cases {
        assert_eq!(shape(&parsed(text)), expected, "{text}");
    }
    assert_eq!(single("tags=a,b&c,d").values, ["a", "b&c", "d"]);
}

#[test]
fn parentheses_in_a_value_are_text_as_long_as_they_match() {
    let cases = [
        ("name=Lamp (old)", "name=Lamp (old)"),
        ("identifiers.gs1=(01)5(21)7", "identifiers.gs1=(01)5(21)7"),
        ("(name=Lamp (old))", "name=Lamp (old)"),
        ("(name=Lamp (old)|name=x)&b=1", "[{name=Lamp (old) name=x} b=1]"),
        ("name=f(g(x))&b=1", "[name=f(g(x)) b=1]"),
        ("name=Lamp (old", "name=Lamp (old"),
        ("name=Lamp (old & rusty)", "name=Lamp (old & rusty)"),
        ("name=Lamp (old & rusty) = x", "name=Lamp (old & rusty) = x"),
        ("(name=Lamp (old & rusty))", "name=Lamp (old & rusty)"),
        ("(name=a(b&c=d)", "[name=a(b c=d]"),
        ("(name=a(b|name=c)", "{name=a(b name=c}"),
        ("name=((", "name=(("),
    ];
    for (text, expected) in cases {
        assert_eq!(shape(&parsed(text)), expected, "{text}");
    }
}

#[test]
fn after_its_first_operator_a_term_takes_operators_as_text() {
    let cases = [("name=a=b", "a=b"), ("name=a>b<c~d!=e", "a>b<c~d!=e"), ("name~=", "="), ("name=a!", "a!")];
    for (text, value) in cases {
        assert_eq!(single(text).values, [value], "{text}");
    }
}

#[test]
fn what_is_no_filter_is_refused_with_its_column() {
    let cases = [
        ("", FilterError::Empty),
        ("a", FilterError::Operator { column: 1 }),
        ("&a=1", FilterError::Operator { column: 1 }),
        ("x&a=1", FilterError::Operator { column: 1 }),
        (" ", FilterError::Operator { column: 1 }),
        ("a=1|b", FilterError::Operator { column: 5 }),
        ("a=1|", FilterError::Operator { column: 5 }),
        ("a=1||b=2", FilterError::Operator { column: 5 }),
        ("é=1|b", FilterError::Operator { column: 6 }),
        ("()", FilterError::Operator { column: 2 }),
        ("(a)=1", FilterError::Operator { column: 2 }),
        ("(a=1)&b", FilterError::Operator { column: 7 }),
        ("(a=1)&", FilterError::Operator { column: 7 }),
        (r"a\=1", FilterError::Operator { column: 1 }),
        ("=1", FilterError::Field { column: 1 }),
        ("!=1", FilterError::Field { column: 1 }),
        ("a=1&=2", FilterError::Field { column: 5 }),
        ("a=1|(~2)", FilterError::Field { column: 6 }),
        ("(a=1", FilterError::Unclosed { column: 1 }),
        ("a=1&((b=2)", FilterError::Unclosed { column: 5 }),
        ("(a=f(x)", FilterError::Unclosed { column: 1 }),
        ("a=1)", FilterError::Unopened { column: 4 }),
        ("(a=1))", FilterError::Unopened { column: 6 }),
        ("a=1&b)", FilterError::Unopened { column: 6 }),
        ("name=f(x))|b=1", FilterError::Unopened { column: 10 }),
        ("(a=1)b=2", FilterError::AfterGroup { column: 6 }),
        ("(a=1)(b=2)", FilterError::AfterGroup { column: 6 }),
        ("(a=1) &b=2", FilterError::AfterGroup { column: 6 }),
    ];
    for (text, error) in cases {
        assert_eq!(Filter::parse(text), Err(error), "{text}");
    }
}

#[test]
fn the_bounds_admit_the_last_and_refuse_the_first_too_many() {
    let long = |bytes: usize| format!("a={}", "x".repeat(bytes - 2));
    assert!(Filter::parse(&long(BYTES_MAX)).is_ok());
    assert_eq!(Filter::parse(&long(BYTES_MAX + 1)), Err(FilterError::TooLong));

    let terms = |count: usize| ["a=1"].repeat(count).join("|");
    assert_eq!(parsed(&terms(TERMS_MAX)).terms().count(), TERMS_MAX);
    let column = 4 * TERMS_MAX + 1;
    assert_eq!(Filter::parse(&terms(TERMS_MAX + 1)), Err(FilterError::TooManyTerms { column }));

    let values = |count: usize| format!("b=1&a={}", ["x"].repeat(count).join(","));
    assert!(Filter::parse(&values(VALUES_MAX - 1)).is_ok());
    let column = "b=1&a=".len() + 2 * (VALUES_MAX - 1) + 1;
    assert_eq!(Filter::parse(&values(VALUES_MAX)), Err(FilterError::TooManyValues { column }));

    let deep = |depth: usize| format!("{}a=1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Filter::parse(&deep(DEPTH_MAX)).is_ok());
    let column = DEPTH_MAX + 1;
    assert_eq!(Filter::parse(&deep(DEPTH_MAX + 1)), Err(FilterError::TooDeep { column }));
    assert_eq!(Filter::parse(&"(".repeat(BYTES_MAX)), Err(FilterError::TooDeep { column }));
    let side_by_side = ["(a=1)"; DEPTH_MAX + 1].join("&");
    assert!(Filter::parse(&side_by_side).is_ok());
}

#[test]
fn continuations_and_parentheses_in_values_count_for_no_bound() {
    let ampersands = format!("a={}", "x&".repeat(TERMS_MAX + 1));
    assert_eq!(parsed(&ampersands).terms().count(), 1);
    let parentheses = format!("a={}", "(".repeat(DEPTH_MAX + 1));
    assert_eq!(single(&parentheses).values, ["(".repeat(DEPTH_MAX + 1)]);
}

#[test]
fn an_error_says_where_and_repeats_nothing() {
    let cases = [
        ("", "the filter is empty"),
        ("a=1|secret", "the term at column 5 of the filter has no operator (=, !=, >, >=, <, <= or ~)"),
        ("|secret=1", "the term at column 1 of the filter has no operator (=, !=, >, >=, <, <= or ~)"),
        ("=secret", "there is no field before the operator at column 1 of the filter"),
        ("(a=secret", "the ( at column 1 of the filter is never closed"),
        ("a=secret)", r"the ) at column 9 of the filter closes nothing: as part of a value it is written \)"),
        ("(a=1)secret", "there is neither & nor | after the group that ends before column 6 of the filter"),
        ("(((((((((a=secret", "the filter has more than 8 parentheses inside one another, at column 9"),
    ];
    for (text, message) in cases {
        assert_eq!(Filter::parse(text).expect_err(text).to_string(), message);
    }
    assert_eq!(FilterError::TooLong.to_string(), "the filter is longer than 2048 bytes");
    let terms = FilterError::TooManyTerms { column: 129 };
    assert_eq!(terms.to_string(), "the filter has more than 32 terms, from column 129");
    let values = FilterError::TooManyValues { column: 205 };
    assert_eq!(values.to_string(), "the filter has more than 100 values, from column 205");
}

#[test]
fn equal_asks_for_one_of_the_values_and_not_equal_for_none() {
    let cases: [(&str, &[&str], bool); 13] = [
        ("a=x", &["x"], true),
        ("a=x", &["X"], false),
        ("a=x", &["xy"], false),
        ("a=x", &[], false),
        ("a=x,y", &["y"], true),
        ("a=x,y", &["z", "x"], true),
        ("a=x,y", &["x,y"], false),
        ("a=", &[""], true),
        ("a=", &[], false),
        ("a!=x", &["y"], true),
        ("a!=x", &[], true),
        ("a!=x,y", &["z", "y"], false),
        ("a!=", &["x"], true),
    ];
    for (text, texts, expected) in cases {
        assert_eq!(admits(text, texts), expected, "{text} for {texts:?}");
    }
}

#[test]
fn contains_looks_for_a_part_in_capitals_or_not() {
    let cases: [(&str, &[&str], bool); 11] = [
        ("a~LAMP", &["old lamp"], true),
        ("a~lamp", &["Old Lamps"], true),
        ("a~lamp", &["lam", "p"], false),
        ("a~lamp,bulb", &["Bulb"], true),
        ("a~lamp", &["x", "Lamp"], true),
        ("a~lamp", &[], false),
        ("a~", &[""], true),
        ("a~", &[], false),
        ("a~ÉTAGE", &["1er étage"], true),
        ("a~ΟΔΟΣ", &["ΟΔΟΣΑ"], true),
        ("a~.*", &["lamp"], false),
    ];
    for (text, texts, expected) in cases {
        assert_eq!(admits(text, texts), expected, "{text} for {texts:?}");
    }
}

#[test]
fn comparisons_are_of_numbers_and_exact() {
    let cases: [(&str, &[&str], bool); 29] = [
        ("a>5", &["6"], true),
        ("a>5", &["5"], false),
        ("a>=5", &["5"], true),
        ("a<5", &["4"], true),
        ("a<5", &["5"], false),
        ("a<=5", &["5"], true),
        ("a>9", &["10"], true),
        ("a<-5", &["-6"], true),
        ("a>-5", &["-4.5"], true),
        ("a>=0", &["-0"], true),
        ("a>=0", &["-0.0"], true),
        ("a>1500000000000", &["1500000000001"], true),
        ("a>9007199254740992", &["9007199254740993"], true),
        ("a>=9007199254740993", &["9007199254740992"], false),
        ("a<9223372036854775807", &["9223372036854775806"], true),
        ("a<-9223372036854775807", &["-9223372036854775808"], true),
        ("a>9223372036854775807", &["92233720368547758080"], true),
        ("a>0.25", &["0.5"], true),
        ("a<0.25", &["2.5e-1"], false),
        ("a<=1e3", &["1000"], true),
        ("a>1", &["0", "2"], true),
        ("a>9,1", &["2"], true),
        ("a>x,1", &["y", "2"], true),
        ("a>1", &[], false),
        ("a>1", &["x"], false),
        ("a>x", &["1"], false),
        ("a>", &["1"], false),
        ("a<=1", &["", " 1", "0x1", "nan", "-inf", "1e999"], false),
        ("a<inf", &["1"], false),
    ];
    for (text, texts, expected) in cases {
        assert_eq!(admits(text, texts), expected, "{text} for {texts:?}");
    }
}

#[test]
fn numbers_are_equal_by_value_and_texts_by_their_letters() {
    let cases: [(&str, &[&str], bool); 14] = [
        ("v=5", &["5.0"], true),
        ("v!=5", &["5.0"], false),
        ("v!=5", &["1", "0.5e1"], false),
        ("v=500", &["5E2"], true),
        ("v=5E2", &["500"], true),
        ("v=0", &["-0.0"], true),
        ("v=1,5.00", &["5"], true),
        ("v=89445012345678901234", &["89445012345678901234"], true),
        ("v=89445012345678901234", &["89445012345678901233"], false),
        ("v=89445012345678901234.0", &["89445012345678901234"], true),
        ("v!=89445012345678901234", &["89445012345678901235"], true),
        ("v=1e999999999", &["10e999999998"], true),
        ("v=1e99999999999999999999", &["1e99999999999999999999"], true),
        ("v=five", &["5"], false),
    ];
    for (text, numbers, expected) in cases {
        assert_eq!(admits_numbers(text, numbers), expected, "{text} for {numbers:?}");
    }
    for (text, spelled, expected) in
        [("v=5", "5.0", false), ("v=7", "007", false), ("v=007", "007", true), ("v>6", "007", true)]
    {
        assert_eq!(admits(text, &[spelled]), expected, "{text} for {spelled:?}");
    }
}

#[test]
fn only_comparisons_are_numeric() {
    for (text, expected) in [
        ("a>1", true),
        ("a>=1", true),
        ("a<1", true),
        ("a<=1", true),
        ("a=1", false),
        ("a!=1", false),
        ("a~1", false),
    ] {
        assert_eq!(single(text).is_numeric(), expected, "{text}");
    }
}

#[test]
fn terms_come_in_the_order_in_which_they_were_written() {
    let filter = parsed("a=1&((b=2|c=3)&d=4|e=5)&f=6");
    let fields: Vec<&str> = filter.terms().map(|term| term.field.as_str()).collect();
    assert_eq!(fields, ["a", "b", "c", "d", "e", "f"]);
}

#[test]
fn a_filter_holds_as_its_terms_do_and_asks_no_more_than_it_must() {
    let cases = [
        ("y=1", true, "y"),
        ("n=1", false, "n"),
        ("y=1&y=2", true, "yy"),
        ("n=1&y=2", false, "n"),
        ("y=1|n=2", true, "y"),
        ("n=1|n=2", false, "nn"),
        ("n=1&y=2|y=3", true, "ny"),
        ("(n=1|y=2)&n=3", false, "nyn"),
    ];
    for (text, expected, order) in cases {
        let mut seen = String::new();
        let holds = parsed(text).holds(&mut |term| {
            seen.push_str(&term.field);
            term.field == "y"
        });
        assert_eq!((holds, seen.as_str()), (expected, order), "{text}");
    }
}

#[test]
fn a_value_that_was_encoded_twice_can_be_decoded_again() {
    let cases = [
        ("name=_x%20y", Some("name=_x y")),
        ("a=1&(b=%41|c=%zz)", Some("[a=1 {b=A c=%zz}]")),
        ("a=x,%2C%28,%", Some("a=x,,(,%")),
        ("a=%C3%A9é", Some("a=éé")),
        ("a=%2520", Some("a=%20")),
        ("a=100%", None),
        ("a=%2", None),
        ("a=%+1", None),
        ("a=%é", None),
        ("a=%ff", None),
        ("a=%20%c0%af", None),
        ("a=x+y", None),
        ("identifiers.%41=x", Some("identifiers.A=x")),
    ];
    for (text, expected) in cases {
        assert_eq!(parsed(text).decoded_again().as_ref().map(shape).as_deref(), expected, "{text}");
    }
    let again = parsed("a=x%2Cy").decoded_again().expect("an escape");
    assert_eq!(again.to_string(), r"a=x\,y");
}

#[test]
fn a_filter_prints_in_one_canonical_form() {
    let cases = [
        ("((a=1))", "a=1"),
        ("(a=1&b=2)|c=3", "a=1&b=2|c=3"),
        ("(a=1|b=2)&c=3", "(a=1|b=2)&c=3"),
        ("name=1 2&3", r"name=1 2\&3"),
        ("name=Lamp (old),x=y", r"name=Lamp \(old\),x\=y"),
        (r"a\!b!=C:\dir", r"a\!b!=C:\\dir"),
        ("a=>1", r"a=\>1"),
        ("é~", "é~"),
    ];
    for (text, canonical) in cases {
        assert_eq!(parsed(text).to_string(), canonical, "{text}");
    }
}

fn any_op() -> impl Strategy<Value = Op> {
    proptest::sample::select(&[
        Op::Equal,
        Op::NotEqual,
        Op::Greater,
        Op::GreaterOrEqual,
        Op::Less,
        Op::LessOrEqual,
        Op::Contains,
    ])
}

/// Half of the letters mean something to the parser.
fn any_text(length: &str) -> impl Strategy<Value = String> + use<> {
    let pattern = format!(r"([ab.%é]|[&|!><=~(),\\]|\PC){length}");
    proptest::string::string_regex(&pattern).expect("a pattern")
}

fn any_term() -> impl Strategy<Value = Filter> {
    (any_text("{1,6}"), any_op(), vec(any_text("{0,6}"), 1..4))
        .prop_map(|(field, op, values)| Filter::Term(Term { field, op, values }))
}

fn normal(parts: Vec<Filter>, all: bool) -> Filter {
    let mut flat = Vec::new();
    for part in parts {
        match part {
            Filter::All(inner) if all => flat.extend(inner),
            Filter::Any(inner) if !all => flat.extend(inner),
            part => flat.push(part),
        }
    }
    if all { Filter::All(flat) } else { Filter::Any(flat) }
}

fn any_filter() -> impl Strategy<Value = Filter> {
    any_term()
        .prop_recursive(4, 20, 3, |inner| {
            (vec(inner, 2..4), any::<bool>()).prop_map(|(parts, all)| normal(parts, all))
        })
        .prop_filter("within the bounds", |filter| {
            let values: usize = filter.terms().map(|term| term.values.len()).sum();
            filter.to_string().len() <= BYTES_MAX
                && filter.terms().count() <= TERMS_MAX
                && values <= VALUES_MAX
        })
}

proptest! {
    #[test]
    fn what_is_printed_parses_to_the_same_filter(filter in any_filter()) {
        prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(filter));
    }

    #[test]
    fn whatever_parses_prints_to_what_parses_the_same(text in r"([ab]=[ab]|[ab()&|!><=~,\\ é]){1,40}") {
        if let Ok(filter) = Filter::parse(&text) {
            prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(filter));
        }
    }

    #[test]
    fn an_identifier_is_found_by_its_unescaped_value(value in "[a-z0-9 &(!.%'é/+]{0,40}") {
        let term = single(&format!("identifiers.gs1:01={value}"));
        prop_assert_eq!(term.field, "identifiers.gs1:01");
        prop_assert_eq!(term.values, [value]);
    }

    #[test]
    fn parentheses_change_nothing_around_a_filter(filter in any_filter()) {
        let text = format!("({filter})");
        prop_assume!(text.len() <= BYTES_MAX);
        prop_assert_eq!(Filter::parse(&text), Ok(filter));
    }

    #[test]
    fn a_column_is_a_position_in_the_text(text in any_text("{0,60}")) {
        if let Err(
            FilterError::Operator { column }
            | FilterError::Field { column }
            | FilterError::Unclosed { column }
            | FilterError::Unopened { column }
            | FilterError::AfterGroup { column },
        ) = Filter::parse(&text)
        {
            prop_assert!((1..=text.len() + 1).contains(&column));
            prop_assert!(text.is_char_boundary(column - 1));
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>(), again in any_text("{0,200}")) {
        for text in [text, again] {
            if let Ok(filter) = Filter::parse(&text) {
                let _ = filter.decoded_again();
                let values = [FieldValue::Text("x".into()), FieldValue::Number("1".into())];
                filter.holds(&mut |term| term.admits(values.iter()));
            }
        }
    }
}
