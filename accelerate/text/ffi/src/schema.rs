//! JSON Schema, checked and rewritten so that llguidance 1.9.1 enforces all of it or it is refused by keyword and path.
//!
//! Left to itself llguidance ignores keywords it does not know, and those of other drafts; takes options from "x-guidance";
//! loses "additionalItems" and "patternProperties" when an applicator stands between them and their siblings; and counts an
//! object's repeated keys as several properties. So only keywords from one list pass, annotations are taken out, and the
//! others are put before the applicators. One meaning holds whatever "$schema" says: draft 2020-12, with the older
//! array form of "items".
use crate::{options, pattern};
use serde_json::{json, Map, Number, Value};

const PROPERTIES_MAX: usize = 5_000; // as OpenAI's structured outputs
const ENUM_VALUES_MAX: usize = 5_000;
const SCHEMAS_MAX: usize = 20_000; // subschemas of any kind
const OPTIONS_MAX: usize = 256; // of one oneOf: each is compared with each
const PATTERNS_MAX: usize = 16; // of one patternProperties: each is intersected with each
const DEPTH_MAX: usize = 64;
const COUNT_MAX: u64 = 100_000; // lengths and numbers of items
const EXACT_MAX: f64 = 9_007_199_254_740_992.0; // 2^53: beyond, a double is not the integer that was written
const DECIMALS_MAX: usize = 15;

const ANNOTATIONS: [&str; 13] = [
    "title", "description", "$comment", "default", "examples", "example", "deprecated", "readOnly", "writeOnly",
    "contentMediaType", "contentEncoding", "contentSchema", "discriminator",
];
const TYPES: [&str; 7] = ["null", "boolean", "number", "integer", "string", "array", "object"];
const FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"];
const APPLICATORS: [&str; 6] = ["$ref", "allOf", "anyOf", "oneOf", "const", "enum"];

/// Where in the schema, from here to the root.
struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: &'a str,
    depth: usize,
}

impl<'a> Path<'a> {
    fn at(&'a self, step: &'a str) -> Path<'a> {
        Path { parent: Some(self), step, depth: self.depth + 1 }
    }

    fn write(&self) -> String {
        match self.parent {
            None => "#".to_owned(),
            Some(parent) => format!("{}/{}", parent.write(), self.step.replace('~', "~0").replace('/', "~1")),
        }
    }
}

#[derive(Default)]
struct Checker {
    schemas: usize,
    properties: usize,
    enum_values: usize,
    refs: Vec<(String, String)>, // (where, to what)
    multiples: Vec<f64>,
}

/// The schema as llguidance gets it. An error says "'keyword' at #/path: why".
pub fn checked(schema: Value) -> Result<Value, String> {
    let mut checker = Checker::default();
    let root = Path { parent: None, step: "", depth: 0 };
    let object = match checker.schema(schema, &root)? {
        Value::Object(object) => object,
        Value::Bool(true) => Map::new(),
        _ => return Err("the schema false allows nothing".into()),
    };
    let document = Value::Object(object.clone());
    for (place, reference) in &checker.refs {
        check_reference(&document, reference).map_err(|why| format!("'$ref' at {place}: {why}"))?;
    }
    checker.check_multiples()?;
    let mut told_apart = Value::Object(object);
    options::tell_apart(&mut told_apart, &document);
    let Value::Object(mut object) = told_apart else { unreachable!("an object stays one") };
    // The form of JSON that answers have: at most one space after ':' and ',', no other whitespace; one spelling of every
    // string (no \u escapes, so a key can not hide as "\u0061").
    let form = json!({"whitespace_flexible": false, "item_separator": ", ?", "key_separator": ": ?",
                      "json_allowed_escapes": "nrbtf\\\""});
    object.insert("x-guidance".into(), form);
    Ok(Value::Object(object))
}

impl Checker {
    fn schema(&mut self, schema: Value, path: &Path) -> Result<Value, String> {
        self.schemas += 1;
        if self.schemas > SCHEMAS_MAX {
            return Err(format!("a schema has at most {SCHEMAS_MAX} subschemas"));
        }
        if path.depth > DEPTH_MAX {
            return Err(format!("a schema nests at most {DEPTH_MAX} levels"));
        }
        let object = match schema {
            Value::Bool(_) => return Ok(schema),
            Value::Object(object) => object,
            _ => return Err(format!("{}: a schema is an object or a boolean", path.write())),
        };
        check_siblings(&object).map_err(|(keyword, why)| format!("'{keyword}' at {}: {why}", path.write()))?;
        let (mut simple, mut applied) = (Map::new(), Map::new());
        for (keyword, value) in object {
            if is_annotation(&keyword, &value, path.parent.is_none()) {
                continue;
            }
            let kept = self.keyword(&keyword, value, path).map_err(|why| {
                if why.starts_with('\'') || why.starts_with('#') || why.starts_with("a schema ") { why } // of a subschema
                else { format!("'{keyword}' at {}: {why}", path.write()) }
            })?;
            if APPLICATORS.contains(&keyword.as_str()) {
                applied.insert(keyword, kept);
            } else {
                simple.insert(keyword, kept);
            }
        }
        simple.extend(applied);
        Ok(Value::Object(simple))
    }

    fn keyword(&mut self, keyword: &str, value: Value, path: &Path) -> Result<Value, String> {
        let here = path.at(keyword);
        match keyword {
            "$defs" | "definitions" | "properties" | "patternProperties" => self.schema_map(keyword, value, &here),
            "additionalProperties" | "additionalItems" => self.schema(value, &here),
            "items" if !value.is_array() => self.schema(value, &here),
            "items" | "prefixItems" | "allOf" | "anyOf" | "oneOf" => self.schema_list(keyword, value, &here),
            "$ref" => {
                let reference = value.as_str().ok_or("it is a string")?;
                self.refs.push((path.write(), reference.to_owned()));
                Ok(value)
            }
            "type" => check_type(&value).map(|()| value),
            "required" => {
                let names = value.as_array().ok_or("it is a list of names")?;
                if !names.iter().all(Value::is_string) {
                    return Err("it is a list of names".into());
                }
                Ok(value)
            }
            "enum" => {
                let values = value.as_array().filter(|values| !values.is_empty()).ok_or("it is a list of values")?;
                self.enum_values += values.len();
                if self.enum_values > ENUM_VALUES_MAX {
                    return Err(format!("a schema has at most {ENUM_VALUES_MAX} values in enum"));
                }
                values.iter().try_for_each(check_constant)?;
                Ok(value)
            }
            "const" => check_constant(&value).map(|()| value),
            "pattern" => pattern::from_ecma(value.as_str().ok_or("it is a string")?).map(Value::String),
            "format" => match value.as_str() {
                Some(name) if FORMATS.contains(&name) => Ok(value),
                _ => Err(format!("{value} is not enforced; these are: {}", FORMATS.join(", "))),
            },
            "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties" => {
                match value.as_u64() {
                    Some(count) if count <= COUNT_MAX => Ok(value),
                    _ => Err(format!("it is an integer from 0 to {COUNT_MAX}")),
                }
            }
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => {
                check_number(value.as_number().ok_or("it is a number")?).map(|()| value)
            }
            "multipleOf" => {
                let number = value.as_number().ok_or("it is a number")?;
                check_number(number)?;
                let multiple = number.as_f64().filter(|multiple| *multiple > 0.0).ok_or("it is above 0")?;
                self.multiples.push(multiple);
                Ok(value)
            }
            _ => Err("is not enforced here; try a schema without it".into()),
        }
    }

    fn schema_map(&mut self, keyword: &str, value: Value, path: &Path) -> Result<Value, String> {
        let Value::Object(entries) = value else { return Err("it is an object of schemas".into()) };
        if keyword == "properties" {
            self.properties += entries.len();
            if self.properties > PROPERTIES_MAX {
                return Err(format!("a schema has at most {PROPERTIES_MAX} properties"));
            }
        }
        let patterns = keyword == "patternProperties";
        if patterns && entries.len() > PATTERNS_MAX {
            return Err(format!("an object has at most {PATTERNS_MAX} patterns"));
        }
        let mut checked = Map::new();
        for (name, schema) in entries {
            let schema = self.schema(schema, &path.at(&name))?;
            let name = if patterns { pattern::from_ecma(&name)? } else { name };
            if checked.insert(name, schema).is_some() {
                return Err("two patterns are the same".into());
            }
        }
        Ok(Value::Object(checked))
    }

    fn schema_list(&mut self, keyword: &str, value: Value, path: &Path) -> Result<Value, String> {
        let Value::Array(entries) = value else { return Err("it is a list of schemas".into()) };
        if entries.is_empty() && keyword != "items" && keyword != "prefixItems" {
            return Err("it has at least one schema".into());
        }
        if keyword == "oneOf" && entries.len() > OPTIONS_MAX {
            return Err(format!("it has at most {OPTIONS_MAX} options"));
        }
        let checked: Result<Vec<Value>, String> =
            entries.into_iter().enumerate().map(|(i, entry)| self.schema(entry, &path.at(&i.to_string()))).collect();
        checked.map(Value::Array)
    }

    /// llguidance intersects two multiples by their least common one in 32 bits, unchecked.
    fn check_multiples(&self) -> Result<(), String> {
        let mut distinct = self.multiples.clone();
        distinct.sort_by(f64::total_cmp);
        distinct.dedup();
        if distinct.len() < 2 {
            return Ok(());
        }
        let decimals = distinct.iter().map(|multiple| decimals_of(*multiple)).max().unwrap_or(0);
        let scaled = distinct.iter().map(|multiple| multiple * 10f64.powi(decimals as i32));
        let largest = scaled.clone().fold(1.0, f64::max);
        if scaled.product::<f64>() * largest >= f64::from(u32::MAX) {
            return Err("'multipleOf' at #: these values together are too large to be enforced".into());
        }
        Ok(())
    }
}

fn is_annotation(keyword: &str, value: &Value, at_root: bool) -> bool {
    let nothing_asked = match keyword {
        "uniqueItems" | "nullable" => value == &Value::Bool(false),
        "unevaluatedProperties" | "unevaluatedItems" => value == &Value::Bool(true),
        "$id" | "id" => at_root && value.is_string(),
        "$schema" => at_root && value.as_str().is_some_and(is_known_draft),
        _ => false,
    };
    nothing_asked || ANNOTATIONS.contains(&keyword) || (keyword.starts_with("x-") && keyword != "x-guidance")
}

fn is_known_draft(uri: &str) -> bool {
    let rest = uri.trim_end_matches('#').trim_start_matches("https://").trim_start_matches("http://");
    ["json-schema.org/draft/2020-12/schema", "json-schema.org/draft/2019-09/schema", "json-schema.org/draft-07/schema",
     "json-schema.org/draft-06/schema", "json-schema.org/draft-04/schema"].contains(&rest)
}

/// Keywords whose meaning hangs on another one.
fn check_siblings(object: &Map<String, Value>) -> Result<(), (&'static str, String)> {
    let items_list = object.get("items").is_some_and(Value::is_array);
    if items_list && object.contains_key("prefixItems") {
        return Err(("items", "a list of items and prefixItems exclude each other".into()));
    }
    if object.contains_key("additionalItems") && !items_list {
        return Err(("additionalItems", "it goes with a list of items".into()));
    }
    // A free key may come twice, and a reader of the JSON then counts one: only the required ones and one more are sure.
    let required = object.get("required").and_then(Value::as_array).map_or(0, |names| {
        let mut names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names.len()
    });
    match object.get("minProperties").and_then(Value::as_u64) {
        Some(count) if count > required as u64 + 1 => {
            Err(("minProperties", format!("at most one more than the required properties, {}, is enforced", required + 1)))
        }
        _ => Ok(()),
    }
}

fn check_type(value: &Value) -> Result<(), String> {
    let known = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    match value {
        Value::Array(names) if !names.is_empty() && names.iter().all(known) => Ok(()),
        _ if known(value) => Ok(()),
        _ => Err(format!("it is one of {} or a list of them", TYPES.join(", "))),
    }
}

fn decimals_of(number: f64) -> usize {
    format!("{number}").split_once('.').map_or(0, |(_, digits)| digits.len())
}

fn check_number(number: &Number) -> Result<(), String> {
    match number.as_f64() {
        Some(value) if value.abs() < EXACT_MAX && decimals_of(value) <= DECIMALS_MAX => Ok(()),
        _ => Err(format!("{number} is beyond the numbers enforced: below 2^53, with at most {DECIMALS_MAX} decimals")),
    }
}

/// Control characters other than \b \f \n \r \t need \u escapes, which answers have none of.
fn check_constant(value: &Value) -> Result<(), String> {
    match value {
        Value::Number(number) => check_number(number),
        Value::String(text) => match text.chars().find(|c| c.is_ascii_control() && !"\u{8}\u{c}\n\r\t".contains(*c)) {
            Some(c) => Err(format!("the control character U+{:04X} can not be part of an answer", c as u32)),
            None => Ok(()),
        },
        Value::Array(values) => values.iter().try_for_each(check_constant),
        Value::Object(members) => members.values().try_for_each(check_constant),
        _ => Ok(()),
    }
}

/// `reference` must lead to a place that was checked as a schema.
fn check_reference(document: &Value, reference: &str) -> Result<(), String> {
    let Some(fragment) = reference.strip_prefix('#') else {
        return Err(format!("\"{reference}\" leads out of the schema; only \"#\" and \"#/...\" are followed"));
    };
    let missing = || format!("\"{reference}\" leads to no schema");
    if fragment.is_empty() {
        return Ok(());
    }
    let pointer = percent_decoded(fragment).filter(|pointer| pointer.starts_with('/')).ok_or_else(missing)?;
    let mut steps = pointer[1..].split('/').map(|step| step.replace("~1", "/").replace("~0", "~"));
    let mut schema = document;
    while let Some(keyword) = steps.next() {
        let value = schema.get(&keyword).ok_or_else(missing)?;
        schema = match keyword.as_str() {
            "additionalProperties" | "additionalItems" => value,
            "items" if !value.is_array() => value,
            "$defs" | "definitions" | "properties" | "patternProperties" => {
                steps.next().and_then(|name| value.get(&name)).ok_or_else(missing)?
            }
            "items" | "prefixItems" | "allOf" | "anyOf" | "oneOf" => {
                steps.next().and_then(|index| value.get(index.parse::<usize>().ok()?)).ok_or_else(missing)?
            }
            _ => return Err(missing()),
        };
    }
    Ok(())
}

fn percent_decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let digits = after.get(..2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}
