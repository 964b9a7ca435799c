//! Text templates: `{tenant}` and `{surface}`, and `${NAME}` for the environment variable `NAME`.

/// A parsed template.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Template<'a>(Vec<Part<'a>>);

#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    Variable(&'a str),
    Tenant,
    Surface,
}

impl<'a> Template<'a> {
    /// Splits the text at its placeholders. Braces around anything else are text.
    pub(crate) fn parse(mut text: &'a str) -> Result<Self, &'static str> {
        let mut parts = Vec::new();
        while let Some(at) = text.find(['$', '{']) {
            let (before, rest) = text.split_at(at);
            let (part, after) = if let Some(name) = rest.strip_prefix("${") {
                let (name, after) = name.split_once('}').ok_or("has `${` without `}`")?;
                if !is_name(name) {
                    return Err("has `${}` around what is no name of an environment variable");
                }
                (Part::Variable(name), after)
            } else if let Some(after) = rest.strip_prefix("{tenant}") {
                (Part::Tenant, after)
            } else if let Some(after) = rest.strip_prefix("{surface}") {
                (Part::Surface, after)
            } else {
                let (brace, after) = rest.split_at(1);
                (Part::Text(brace), after)
            };
            parts.extend((!before.is_empty()).then_some(Part::Text(before)));
            parts.push(part);
            text = after;
        }
        parts.extend((!text.is_empty()).then_some(Part::Text(text)));
        Ok(Self(parts))
    }

    /// Fills the placeholders: `escape` encodes tenant and surface, `lookup` returns the values of variables.
    pub(crate) fn fill<E>(
        &self,
        (tenant, surface): (&str, &str),
        escape: fn(&str) -> String,
        lookup: impl Fn(&str) -> Result<String, E>,
    ) -> Result<String, E> {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filled += text,
                Part::Variable(name) => filled += &lookup(name)?,
                Part::Tenant => filled += &escape(tenant),
                Part::Surface => filled += &escape(surface),
            }
        }
        Ok(filled)
    }
}

fn is_name(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit()) && name.bytes().all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str) -> Result<String, String> {
        let scope = ("a b", "{tenant}");
        let lookup = |name: &str| {
            if name == "GONE" { Err(name.to_owned()) } else { Ok(format!("<{name}{{tenant}}>")) }
        };
        Template::parse(text)?.fill(scope, |name| name.replace(' ', "+"), lookup)
    }

    #[test]
    fn holes_are_filled_once() {
        assert_eq!(fill("").unwrap(), "");
        assert_eq!(fill("x/{tenant}/y").unwrap(), "x/a+b/y");
        // Placeholders inside a filled-in value are not expanded.
        assert_eq!(fill("{surface}{tenant}").unwrap(), "{tenant}a+b");
        assert_eq!(fill("Bearer ${T_1}").unwrap(), "Bearer <T_1{tenant}>");
        assert_eq!(fill("${GONE}"), Err("GONE".to_owned()));
    }

    #[test]
    fn other_braces_are_text() {
        let json = r#"{"v":1,"of":{"tenant":"{tenant}"},"price":"$5 {x}"}"#;
        assert_eq!(fill(json).unwrap(), r#"{"v":1,"of":{"tenant":"a+b"},"price":"$5 {x}"}"#);
        assert_eq!(fill("$$ {{tenant}} {ten").unwrap(), "$$ {a+b} {ten");
        for bad in ["${", "${}", "${A", "${A B}", "${1}", "x${A-B}"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }
}
