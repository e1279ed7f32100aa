//! `/openapi.json`: routes are added to the router together with their description, so that neither is there
//! without the other.

mod attempt;
mod schema;
pub mod subscription;

use crate::app::App;
use crate::sql::{Collection, FilterValue};
use axum::Router;
use axum::handler::Handler;
use axum::response::Html;
use axum::routing::{MethodFilter, on};
use schema::problem;
pub use schema::{anything, limit, string};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Paths, Ref, RefOr, Required,
    ResponseBuilder,
};

/// A page that shows the description; it needs nothing from elsewhere.
pub async fn docs() -> Html<&'static str> {
    Html(include_str!("openapi/docs.html"))
}

/// A router and what describes it.
#[derive(Default)]
pub struct Documented {
    /// The router.
    pub router: Router<Arc<App>>,
    operations: Vec<(HttpMethod, String, Operation)>,
    schemas: Vec<(String, RefOr<Schema>)>,
}

/// What an operation does, who may ask for it, and how it answers.
pub struct Description {
    operation: OperationBuilder,
    schemas: Vec<(String, RefOr<Schema>)>,
    access: Access,
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone.
    Open,
    /// Who signs, or holds a token, as the description says.
    Signed,
    /// A key that is in force, whatever it may do.
    AnyKey,
    /// An API key with this scope, or `admin`.
    Scope(&'static str),
    /// A platform key.
    Platform,
}

impl Documented {
    /// Adds a GET.
    pub fn get<H: Handler<T, Arc<App>>, T: 'static>(
        self,
        path: &str,
        handler: H,
        about: Description,
    ) -> Self {
        self.on(HttpMethod::Get, MethodFilter::GET, path, handler, about)
    }

    /// Adds a WebSocket: a GET that is upgraded, and over HTTP/2 a CONNECT.
    pub fn socket<H: Handler<T, Arc<App>>, T: 'static>(
        self,
        path: &str,
        handler: H,
        about: Description,
    ) -> Self {
        self.on(HttpMethod::Get, MethodFilter::GET.or(MethodFilter::CONNECT), path, handler, about)
    }

    /// Adds a POST.
    pub fn post<H: Handler<T, Arc<App>>, T: 'static>(
        self,
        path: &str,
        handler: H,
        about: Description,
    ) -> Self {
        self.on(HttpMethod::Post, MethodFilter::POST, path, handler, about.write())
    }

    /// Adds a PATCH.
    pub fn patch<H: Handler<T, Arc<App>>, T: 'static>(
        self,
        path: &str,
        handler: H,
        about: Description,
    ) -> Self {
        self.on(HttpMethod::Patch, MethodFilter::PATCH, path, handler, about.write())
    }

    /// Adds a PUT.
    pub fn put<H: Handler<T, Arc<App>>, T: 'static>(
        self,
        path: &str,
        handler: H,
        about: Description,
    ) -> Self {
        self.on(HttpMethod::Put, MethodFilter::PUT, path, handler, about.write())
    }

    /// Adds a DELETE.
    pub fn delete<H: Handler<T, Arc<App>>, T: 'static>(
        self,
        path: &str,
        handler: H,
        about: Description,
    ) -> Self {
        self.on(HttpMethod::Delete, MethodFilter::DELETE, path, handler, about.write())
    }

    /// Adds an OPTIONS.
    pub fn options<H: Handler<T, Arc<App>>, T: 'static>(
        self,
        path: &str,
        handler: H,
        about: Description,
    ) -> Self {
        self.on(HttpMethod::Options, MethodFilter::OPTIONS, path, handler, about)
    }

    fn on<H: Handler<T, Arc<App>>, T: 'static>(
        mut self,
        method: HttpMethod,
        filter: MethodFilter,
        path: &str,
        handler: H,
        about: Description,
    ) -> Self {
        self.router = self.router.route(path, on(filter, handler));
        let Description { mut operation, schemas, access } = about;
        for name in names_in(path) {
            operation = operation.parameter(
                ParameterBuilder::new()
                    .name(name)
                    .parameter_in(ParameterIn::Path)
                    .required(Required::True)
                    .schema(Some(string(schema::format_of(name)))),
            );
        }
        operation =
            operation.operation_id(Some(operation_id(&method, path))).response("default", problem_response());
        operation = match access {
            Access::Open | Access::Signed => operation.securities(Some([SecurityRequirement::default()])),
            _ => operation,
        };
        self.schemas.extend(schemas);
        self.operations.push((method, path.to_owned(), operation.build()));
        self
    }

    /// Adds all of another's under a prefix, and under further prefixes without describing them again.
    pub fn nest(
        mut self,
        prefixes: &[&str],
        other: Self,
        layered: impl Fn(Router<Arc<App>>) -> Router<Arc<App>>,
    ) -> Self {
        for prefix in prefixes {
            self.router = self.router.nest(prefix, layered(other.router.clone()));
        }
        let described = prefixes.first().copied().unwrap_or_default();
        self.schemas.extend(other.schemas);
        self.operations.extend(
            other
                .operations
                .into_iter()
                .map(|(method, path, operation)| (method, format!("{described}{path}"), operation)),
        );
        self
    }

    /// The description of everything.
    pub fn describe(&self) -> OpenApi {
        let mut paths = Paths::new();
        for (method, path, operation) in &self.operations {
            paths.add_path_operation(path, vec![method.clone()], operation.clone());
        }
        let key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key")));
        let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        let components = ComponentsBuilder::new()
            .schema("Problem", problem())
            .schemas_from_iter(self.schemas.iter().cloned())
            .security_scheme("api_key", key)
            .security_scheme("bearer", bearer);
        let info =
            InfoBuilder::new().title("Nexus").version(env!("CARGO_PKG_VERSION")).description(Some(ABOUT));
        let no_scopes: [&str; 0] = [];
        OpenApiBuilder::new()
            .info(info.build())
            .paths(paths)
            .components(Some(components.build()))
            .security(Some([
                SecurityRequirement::new("api_key", no_scopes),
                SecurityRequirement::new("bearer", no_scopes),
            ]))
            .build()
    }
}

const ABOUT: &str = "Every path under `/api/v1` also answers under `/api`. Errors are \
    `application/problem+json` with a stable `code`. Writes take an `Idempotency-Key`. Every answer has a \
    `trace-id`; with a key, `RateLimit` and `RateLimit-Policy` tell how much is left.";

/// Begins a description: its group, and what the operation does.
pub fn about(tag: &str, access: Access, summary: &str) -> Description {
    let who = match access {
        Access::Open => "Open to anyone.".to_owned(),
        Access::Signed => "Authorised by the request's own signature or token.".to_owned(),
        Access::AnyKey => "Needs a key that is in force.".to_owned(),
        Access::Scope(scope) => format!("Needs an API key with the scope `{scope}`."),
        Access::Platform => "Needs a platform key.".to_owned(),
    };
    let operation = OperationBuilder::new().tag(tag).summary(Some(summary)).description(Some(who));
    Description { operation, schemas: Vec::new(), access }
}

impl Description {
    /// Answers a page of a list, with its filters.
    pub fn lists(mut self, collection: &Collection) -> Self {
        for filter in collection.filters {
            self = self.query(filter.name, filter_schema(filter.value));
        }
        self.pages(schema::item(collection))
    }

    /// Answers a page of such objects.
    pub fn pages(self, item: RefOr<Schema>) -> Self {
        self.query("limit", limit()).query("cursor", string(None)).answers(200, "A page", schema::page(item))
    }

    /// Answers what is said of one object of a list, in pages unless it is short.
    pub fn tells_of(self, collection: &Collection, members: &[&str]) -> Self {
        self.answers(200, "A page", schema::page_about(collection, members))
    }

    /// Answers one object of a list.
    pub fn shows(self, collection: &Collection) -> Self {
        self.answers(200, "The object", schema::item(collection))
    }

    /// Takes a parameter in the query.
    pub fn query(mut self, name: &str, schema: RefOr<Schema>) -> Self {
        let parameter: Parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .schema(Some(schema))
            .build();
        self.operation = self.operation.parameter(parameter);
        self
    }

    /// Takes a JSON body.
    pub fn takes<T: ToSchema>(mut self) -> Self {
        T::schemas(&mut self.schemas);
        self.takes_shape(&T::name(), T::schema())
    }

    /// Takes a JSON body of this shape, which the description names so.
    pub fn takes_shape(mut self, name: &str, schema: RefOr<Schema>) -> Self {
        self.schemas.push((name.to_owned(), schema));
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(name))).build();
        let body =
            RequestBodyBuilder::new().content("application/json", content).required(Some(Required::True));
        self.operation = self.operation.request_body(Some(body.build()));
        self
    }

    /// Takes a body of any kind.
    pub fn takes_anything(mut self) -> Self {
        let content = ContentBuilder::new().schema(Some(schema::anything())).build();
        self.operation =
            self.operation.request_body(Some(RequestBodyBuilder::new().content("*/*", content).build()));
        self
    }

    /// Answers JSON with this status.
    pub fn answers(mut self, status: u16, description: &str, schema: RefOr<Schema>) -> Self {
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let response = ResponseBuilder::new().description(description).content("application/json", content);
        self.operation = self.operation.response(status.to_string(), response.build());
        self
    }

    /// Answers an object with these members.
    pub fn gives(self, status: u16, description: &str, members: &[&str]) -> Self {
        self.answers(status, description, schema::object(members))
    }

    /// Answers without a body, or with one that is no JSON.
    pub fn ends(mut self, status: u16, description: &str) -> Self {
        let response = ResponseBuilder::new().description(description).build();
        self.operation = self.operation.response(status.to_string(), response);
        self
    }

    fn write(mut self) -> Self {
        if !matches!(self.access, Access::Open | Access::Signed) {
            let parameter = ParameterBuilder::new()
                .name("Idempotency-Key")
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some(
                    "A quoted string. The same request under the same key is answered alike for 24 hours.",
                ))
                .schema(Some(string(None)));
            self.operation = self.operation.parameter(parameter);
        }
        self
    }
}

fn problem_response() -> utoipa::openapi::Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description("A problem").content("application/problem+json", content).build()
}

fn filter_schema(value: FilterValue) -> RefOr<Schema> {
    match value {
        FilterValue::Id => string(Some("uuid")),
        FilterValue::Time => string(Some("date-time")),
        FilterValue::Boolean => ObjectBuilder::new().schema_type(Type::Boolean).into(),
        FilterValue::Words => ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("One or several, separated by commas"))
            .into(),
        _ => string(None),
    }
}

/// The names in braces.
fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn operation_id(method: &HttpMethod, path: &str) -> String {
    let method = serde_json::to_value(method).ok().and_then(|name| name.as_str().map(str::to_lowercase));
    let words = path.split('/').filter(|part| !part.is_empty()).map(|part| part.trim_matches(['{', '}']));
    let words = words.map(|word| word.replace(['-', '.'], "_"));
    std::iter::once(method.unwrap_or_default()).chain(words).collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests;
