//! Sources, compiled: where an expression's value comes from.

use super::super::convert::Convert;
use super::super::expression::{Expression, Fields, Rule};
use super::super::{Each, Mapping, Origin, Path, Piece, Source};
use super::{Compiler, Expected, converts_choices};
use crate::canonical::{Children, Field};
use crate::error::Error;
use std::collections::BTreeMap;

impl Compiler<'_> {
    pub(super) fn source(
        &self,
        rule: &Rule,
        expected: Expected,
        gathers: bool,
        at: &str,
        depth: usize,
    ) -> Result<Source, Error> {
        self.check_sources(rule, at)?;
        let mappings = |name: &str, expressions: &[Expression], expected: Expected| {
            let compile = |(index, expression): (usize, &Expression)| {
                self.mapping(expression, expected, &format!("{at}.{name}[{index}]"), depth + 1)
            };
            expressions.iter().enumerate().map(compile).collect::<Result<Vec<_>, Error>>()
        };
        if let Expected::Children(_) = expected {
            return Ok(match (&rule.concat, &rule.first_of) {
                (Some(lists), _) => Source::Concat(mappings("concat", lists, expected)?),
                (_, Some(lists)) => Source::FirstOf(mappings("first_of", lists, expected)?),
                _ => self.list(rule, expected, at, depth)?,
            });
        }
        if let Some(constant) = &rule.constant {
            return Ok(Source::Constant(constant.clone()));
        }
        if let Some(name) = &rule.header {
            if !self.has_request {
                return Err(self.error(at, "reads a header, and there is no request here"));
            }
            return Ok(Source::Header(name.to_ascii_lowercase()));
        }
        if let Some(name) = &rule.setting {
            self.check_setting(name, at)?;
            return Ok(Source::Setting(name.clone()));
        }
        if let Some(text) = &rule.template {
            return self.template(text, &rule.with, at, depth).map(Source::Template);
        }
        if let Some(choices) = &rule.first_of {
            // Converting each choice names the place of what cannot be, and gathers lists as the whole would.
            let is_final = converts_choices(rule);
            let inner = if is_final { expected } else { Expected::Raw };
            return Ok(Source::FirstOf(mappings("first_of", choices, inner)?));
        }
        if let Some(parts) = &rule.join {
            let separator = rule.separator.clone().unwrap_or_else(|| " ".to_owned());
            let parts = self.gathered("join", parts, Expected::Raw, at, depth)?;
            return Ok(Source::Join(parts, separator));
        }
        if let Some(lists) = &rule.concat {
            return Ok(Source::Concat(self.gathered("concat", lists, Expected::Raw, at, depth)?));
        }
        if let Some(factors) = &rule.product {
            return Ok(Source::Product(mappings("product", factors, Expected::Number)?));
        }
        if let Some(times) = &rule.latest {
            return Ok(Source::Latest(self.gathered("latest", times, Expected::Raw, at, depth)?));
        }
        if let Some(terms) = &rule.sum {
            let terms = self.gathered("sum", terms, Expected::Number, at, depth)?;
            return Ok(match self.each(rule, at, depth)? {
                Some(each) => Source::SumOver(Box::new(each), terms),
                None => Source::Sum(terms),
            });
        }
        if let Some(pick) = &rule.pick {
            let Some(each) = self.each(rule, at, depth)? else {
                return Err(self.error(at, "has pick without each"));
            };
            let pick = self.mapping(pick, Expected::Raw, &format!("{at}.pick"), depth + 1)?;
            return Ok(Source::Pick(Box::new(each), Box::new(pick)));
        }
        if rule.each.is_some() || matches!(expected, Expected::Items) {
            return self.list(rule, expected, at, depth);
        }
        let path = self.origin_and_path(rule, at)?;
        if rule.shape.is_some() || !rule.fields.is_empty() {
            let fields = self.fields(rule.shape.as_deref(), &rule.fields, at)?;
            return Ok(Source::Object(path, self.members(fields, None, depth)?));
        }
        match path {
            Some((origin, path)) if gathers && path.is_plural() => Ok(Source::AllOf(origin, path)),
            Some((origin, path)) => Ok(Source::Path(origin, path)),
            None => Err(self.error(at, "has no source: path, first_of, constant, each, …")),
        }
    }

    /// Expressions of which a path means all that it finds.
    fn gathered(
        &self,
        name: &str,
        expressions: &[Expression],
        expected: Expected,
        at: &str,
        depth: usize,
    ) -> Result<Vec<Mapping>, Error> {
        let compile = |(index, expression): (usize, &Expression)| {
            let at = format!("{at}.{name}[{index}]");
            let mut mapping = self.mapping(expression, expected, &at, depth + 1)?;
            if let Source::Path(origin, path) = mapping.source {
                mapping.source = if path.is_plural() {
                    mapping.convert = Default::default();
                    Source::AllOf(origin, path)
                } else {
                    Source::Path(origin, path)
                };
            }
            Ok(mapping)
        };
        expressions.iter().enumerate().map(compile).collect()
    }

    /// A list of objects, or the child rows of an entity.
    fn list(&self, rule: &Rule, expected: Expected, at: &str, depth: usize) -> Result<Source, Error> {
        if let Expected::Items = expected {
            let each = Rule { each: Some(Expression::Rule(Box::new(rule.clone()))), ..Rule::default() };
            let each = if rule.each.is_some() { rule } else { &each };
            return match self.each(each, at, depth)? {
                Some(each) => Ok(Source::List(Box::new(each), Vec::new())),
                None => Err(self.error(at, "does not say what to go through")),
            };
        }
        let Some(each) = self.each(rule, at, depth)? else {
            return Err(self.error(at, "must be a list: each with fields, or a concat of such"));
        };
        let children = match expected {
            Expected::Children(children) => Some(children),
            _ => None,
        };
        let fields = self.fields(rule.shape.as_deref(), &rule.fields, at)?;
        let members = self.members(fields, children, depth)?;
        if members.is_empty() {
            return Err(self.error(at, "has each without fields, use, sum or pick"));
        }
        if children.is_some() && !members.iter().any(|(name, _)| name == "external_id") {
            return Err(self.error(at, "lacks external_id, which every child row needs"));
        }
        Ok(Source::List(Box::new(each), members))
    }

    fn each(&self, rule: &Rule, at: &str, depth: usize) -> Result<Option<Each>, Error> {
        let Some(each) = &rule.each else { return Ok(None) };
        let place = format!("{at}.each");
        let of_path;
        let source = match each {
            Expression::Rule(source) => source.as_ref(),
            Expression::Path(path) => {
                of_path = Rule { path: Some(path.clone()), ..Rule::default() };
                &of_path
            }
        };
        let Some((origin, path)) = self.origin_and_path(source, &place)? else {
            return Err(self.error(&place, "must be a path, or a table with record or payload"));
        };
        let matching = rule.matching.as_ref().map(|matching| {
            let at = format!("{at}.matching");
            Ok::<_, Error>((self.path(&matching.item, &at)?, self.path(&matching.own, &at)?))
        });
        let filter = rule.filter.as_ref();
        Ok(Some(Each {
            origin,
            path,
            matching: matching.transpose()?,
            filter: filter
                .map(|filter| self.condition(filter, &format!("{at}.where"), depth + 1))
                .transpose()?,
        }))
    }

    /// The members of an object, or of child rows.
    pub fn members(
        &self,
        fields: BTreeMap<&str, (&Expression, String)>,
        children: Option<&'static Children>,
        depth: usize,
    ) -> Result<Vec<(String, Mapping)>, Error> {
        let compile = |(name, (expression, at)): (&str, (&Expression, String))| {
            let expected = match children {
                None => Expected::Raw,
                Some(_) if name == "external_id" => Expected::Id,
                Some(children) => {
                    let field = children.fields.iter().find(|field| field.document_name() == name);
                    let known = || children.fields.iter().map(Field::document_name).collect::<Vec<_>>();
                    Expected::Field(field.ok_or_else(|| {
                        let reason = format!("{} have no field \"{name}\"", children.field);
                        self.error(&at, reason).hint(format!("one of {}", known().join(", ")))
                    })?)
                }
            };
            let mut mapping = self.mapping(expression, expected, &at, depth + 1)?;
            // What goes into a document as it stands must be fit for jsonb.
            if let (Expected::Raw, Convert::Nothing) = (expected, &mapping.convert[0]) {
                mapping.convert[1] = Convert::Json;
            }
            Ok((name.to_owned(), mapping))
        };
        fields.into_iter().map(compile).collect()
    }

    /// The fields of a shape and those written in place, each with its place in the manifest.
    pub fn fields<'e>(
        &'e self,
        shape: Option<&'e str>,
        fields: &'e Fields,
        at: &str,
    ) -> Result<BTreeMap<&'e str, (&'e Expression, String)>, Error> {
        let mut all = BTreeMap::new();
        if let Some(shape) = shape {
            let Some(shared) = self.shapes.get(shape) else {
                return Err(self.error(&format!("{at}.use"), format!("there is no shape \"{shape}\"")));
            };
            for (name, expression) in shared {
                all.insert(name.as_str(), (expression, format!("shapes.{shape}.{name}")));
            }
        }
        for (name, expression) in fields {
            all.insert(name.as_str(), (expression, format!("{at}.fields.{name}")));
        }
        Ok(all)
    }

    fn origin_and_path(&self, rule: &Rule, at: &str) -> Result<Option<(Origin, Path)>, Error> {
        let sources =
            [(Origin::Item, &rule.path), (Origin::Record, &rule.record), (Origin::Payload, &rule.payload)];
        let mut written = sources.into_iter().filter_map(|(origin, path)| Some((origin, path.as_ref()?)));
        match written.next() {
            None => Ok(None),
            Some((origin, path)) => Ok(Some((origin, self.path(path, at)?))),
        }
    }

    fn path(&self, text: &str, at: &str) -> Result<Path, Error> {
        Path::compile(text).map_err(|error| error.at(at))
    }

    fn template(&self, text: &str, with: &Fields, at: &str, depth: usize) -> Result<Vec<Piece>, Error> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((literal, tail)) = rest.split_once('{') {
            let Some((name, tail)) = tail.split_once('}') else {
                return Err(self.error(at, format!("template \"{text}\" has an open brace")));
            };
            let Some(expression) = with.get(name) else {
                return Err(self.error(at, format!("template \"{text}\" names {{{name}}}, which with lacks")));
            };
            let at = format!("{at}.with.{name}");
            pieces.push(Piece::Literal(literal.to_owned()));
            pieces.push(Piece::Value(Box::new(self.mapping(expression, Expected::Raw, &at, depth + 1)?)));
            rest = tail;
        }
        pieces.push(Piece::Literal(rest.to_owned()));
        Ok(pieces)
    }
}
