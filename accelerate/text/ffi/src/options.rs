//! oneOf whose options exclude each other is anyOf, which llguidance enforces. It proves that itself for options written in
//! place; here references are followed too, as Pydantic's discriminated unions have them.
use serde_json::{Map, Value};

const HOPS_MAX: usize = 8;
const DEPTH_MAX: usize = 3; // of properties within properties that tell options apart

/// Renames each oneOf of checked `schema` whose options exclude each other; `document` is the whole schema.
pub fn tell_apart(schema: &mut Value, document: &Value) {
    match schema {
        Value::Array(entries) => entries.iter_mut().for_each(|entry| tell_apart(entry, document)),
        Value::Object(object) => {
            for (keyword, value) in object.iter_mut() {
                if keyword != "const" && keyword != "enum" {
                    tell_apart(value, document);
                }
            }
            let apart = match object.get("oneOf") {
                Some(Value::Array(options)) => all_disjoint(options, document),
                _ => false,
            };
            if apart && !object.contains_key("anyOf") {
                // Also where "oneOf" is a property's name: a list is no schema, so there it was none.
                let options = object.remove("oneOf").unwrap_or_default();
                object.insert("anyOf".into(), options);
            }
        }
        _ => {}
    }
}

fn all_disjoint(options: &[Value], document: &Value) -> bool {
    options.iter().enumerate().all(|(i, one)| options[i + 1..].iter().all(|other| disjoint(one, other, document, 0)))
}

/// Whether no value fits both. Further keywords only narrow, so they can be left out of the proof.
fn disjoint(one: &Value, other: &Value, document: &Value, depth: usize) -> bool {
    let (Some(one), Some(other)) = (resolved(one, document), resolved(other, document)) else { return false };
    if let (Some(these), Some(those)) = (literals(one), literals(other)) {
        return !these.iter().any(|this| those.iter().any(|that| may_be_equal(this, that)));
    }
    let (Some(these), Some(those)) = (types(one), types(other)) else { return false };
    if !these.iter().any(|name| those.contains(name)) {
        return true;
    }
    let objects = these == ["object"] && those == ["object"];
    objects && depth < DEPTH_MAX && required(one).chain(required(other)).any(|name| {
        match (property(one, name), property(other, name)) {
            (Some(this), Some(that)) => disjoint(this, that, document, depth + 1),
            _ => false,
        }
    })
}

fn resolved<'a>(schema: &'a Value, document: &'a Value) -> Option<&'a Map<String, Value>> {
    let mut object = schema.as_object()?;
    for _ in 0..HOPS_MAX {
        let Some(reference) = object.get("$ref") else { return Some(object) };
        // Percent signs are left to llguidance: a name with one is not followed, and then not told apart.
        object = document.pointer(reference.as_str()?.strip_prefix('#')?)?.as_object()?;
    }
    None
}

fn literals(schema: &Map<String, Value>) -> Option<Vec<&Value>> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(value), _) => Some(vec![value]),
        (None, Some(Value::Array(values))) => Some(values.iter().collect()),
        _ => None,
    }
}

/// 1 and 1.0 are one value; of lists and objects nothing is proven.
fn may_be_equal(this: &Value, that: &Value) -> bool {
    match (this, that) {
        (Value::Number(this), Value::Number(that)) => this.as_f64() == that.as_f64(),
        (Value::Array(_), Value::Array(_)) | (Value::Object(_), Value::Object(_)) => true,
        _ => this == that,
    }
}

/// Integers are numbers.
fn types(schema: &Map<String, Value>) -> Option<Vec<&str>> {
    let name = |name| if name == "integer" { "number" } else { name };
    match schema.get("type") {
        Some(Value::String(one)) => Some(vec![name(one)]),
        Some(Value::Array(several)) => several.iter().map(|one| one.as_str().map(name)).collect(),
        _ => literals(schema).map(|values| values.iter().map(|value| kind(value)).collect()),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn required(schema: &Map<String, Value>) -> impl Iterator<Item = &str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn property<'a>(schema: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    schema.get("properties")?.get(name)
}
