//! Parses DSNs: URLs with the address of a server and the credentials, as in libpq.
//!
//! What the URL leaves open comes from the `PG*` variables and the password file, as with psql. Unlike libpq, unknown
//! parameters are refused, because one may be a misspelt `sslmode`.

use std::fmt;
use std::time::Duration;

use recsys_core::storage::Secret;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

/// The address of a server and database, and the credentials. `Debug` shows only what messages show.
#[derive(Clone)]
pub struct Dsn {
    options: PgConnectOptions,
    connect_timeout: Duration,
    server: String,
}

/// Why a DSN was refused. Messages never repeat the DSN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DsnError {
    /// It is not a Postgres URL, or an unescaped password has broken it.
    #[error(
        "the DSN is not of the form postgres://user:password@host:port/database; write special characters of the \
         password as %XX"
    )]
    Form,
    /// A parameter that is unknown, or would be ignored.
    #[error("the DSN has the parameter {0:?}, which is not supported; known are {known}", known = PARAMETERS.join(", "))]
    Parameter(String),
    /// A parameter with an invalid value.
    #[error("parameter {parameter} of the DSN must be {expected}")]
    Value {
        /// The parameter.
        parameter: &'static str,
        /// The valid values.
        expected: &'static str,
    },
    /// A parameter that asks for an unsupported feature.
    #[error(
        "parameter {parameter} of the DSN has a value that is not supported; leave it out, or give {}", values.join(" or ")
    )]
    Ignored {
        /// The parameter.
        parameter: &'static str,
        /// The values that ask for no such feature.
        values: &'static [&'static str],
    },
    /// The root certificate file cannot be read.
    #[error("sslrootcert {path:?} of the DSN cannot be read: {reason}")]
    RootCertificate {
        /// The path of the file.
        path: String,
        /// The system's error message.
        reason: String,
    },
}

const PARAMETERS: [&str; 12] = [
    "application_name",
    "connect_timeout",
    "dbname",
    "host",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// Parameters of other clients, with the values that change nothing. Hosted services put some of them in their DSNs.
/// Any other value would be ignored and is therefore refused.
const HARMLESS: [(&str, &[&str]); 6] = [
    ("channel_binding", &["disable", "prefer"]),
    ("client_encoding", &["utf8", "utf-8", "auto"]),
    ("gssencmode", &["disable", "prefer"]),
    ("pgbouncer", &["true", "false"]),
    ("sslnegotiation", &["postgres"]),
    // Only one host is supported.
    ("target_session_attrs", &["any", "read-write", "primary", "prefer-standby"]),
];

/// Parameters of other clients, which would be ignored.
const FOREIGN: [&str; 27] = [
    "connection_limit",
    "currentschema",
    "fallback_application_name",
    "gsslib",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "passfile",
    "pool_timeout",
    "preparethreshold",
    "prepared_statements",
    "replication",
    "require_auth",
    "schema",
    "search_path",
    "service",
    "socket_timeout",
    "ssl",
    "sslaccept",
    "sslcrl",
    "sslpassword",
    "statement_cache_size",
    "tcp_user_timeout",
];

/// Whether a name is one typo away from a known one. Any other name may be part of a broken password.
fn resembles_known(name: &str) -> bool {
    PARAMETERS.iter().any(|known| strsim::damerau_levenshtein(name, known) == 1)
}

/// Whether a parameter can be dropped. An error if its value asks for an unsupported feature.
fn is_harmless(name: &str, value: &str) -> Result<bool, DsnError> {
    let Some((parameter, values)) = HARMLESS.iter().find(|(parameter, _)| *parameter == name) else {
        return Ok(false);
    };
    if values.iter().any(|harmless| harmless.eq_ignore_ascii_case(value)) {
        return Ok(true);
    }
    Err(DsnError::Ignored { parameter, values })
}

/// A common default of libpq clients.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

impl fmt::Debug for Dsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dsn({})", self.server)
    }
}

impl Dsn {
    /// Parses a DSN.
    ///
    /// `sslmode` is `disable`, `prefer` (the default), `require`, `verify-ca` or `verify-full`; `sslrootcert` is a
    /// file or `system`. As in libpq, `require` together with `sslrootcert` verifies the authority. Unlike libpq, the
    /// system's authorities are trusted in addition to those of the file.
    pub fn parse(dsn: &Secret) -> Result<Self, DsnError> {
        let mut url = Url::parse(dsn.reveal()).map_err(|_| DsnError::Form)?;
        // Text behind an unescaped special character may be part of the password.
        let broken =
            url.fragment().is_some() || url.path().contains('@') || url.path().matches('/').count() > 1;
        let hosts = url.host_str().unwrap_or_default();
        if !matches!(url.scheme(), "postgres" | "postgresql") || broken || hosts.contains(',') {
            return Err(DsnError::Form);
        }
        let parameters: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let mut passed_on = Vec::new();
        let mut connect_timeout = CONNECT_TIMEOUT;
        let mut tls = Tls::from_env();
        for (name, value) in parameters {
            match name.as_str() {
                "connect_timeout" => connect_timeout = timeout(&value)?,
                "sslmode" => tls.mode = Some(value),
                "sslrootcert" => tls.root = Some(value),
                "port" if value.parse::<u16>().is_err() => {
                    return Err(DsnError::Value { parameter: "port", expected: "a number up to 65535" });
                }
                known if PARAMETERS.contains(&known) => passed_on.push((name, value)),
                _ if is_harmless(&name, &value)? => {}
                foreign if FOREIGN.contains(&&*foreign.to_ascii_lowercase()) || resembles_known(foreign) => {
                    return Err(DsnError::Parameter(name));
                }
                // It may be part of a password.
                _ => return Err(DsnError::Form),
            }
        }
        url.set_query(None);
        if !passed_on.is_empty() {
            url.query_pairs_mut().extend_pairs(passed_on);
        }
        let mut options = PgConnectOptions::from_url(&url).map_err(|_| DsnError::Form)?;
        // The brackets around an IPv6 address belong to the URL syntax.
        if let Some(address) = options.get_host().strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            let address = address.to_owned();
            options = options.host(&address);
        }
        let socket = options.get_socket().map(|path| path.display().to_string());
        let socket =
            socket.or_else(|| options.get_host().starts_with('/').then(|| options.get_host().to_owned()));
        let options = if socket.is_some() {
            // A socket never uses TLS, whatever `sslmode` says.
            options.ssl_mode(PgSslMode::Disable)
        } else {
            tls.apply(options)?
        };
        let host = socket.unwrap_or_else(|| options.get_host().to_owned());
        let database = options.get_database().unwrap_or(options.get_username());
        let server = format!("database {database:?} at {host}:{}", options.get_port());
        // Poolers reject `extra_float_digits`, and statements do not belong in the log.
        let options = options.extra_float_digits(None).disable_statement_logging();
        Ok(Self { options, connect_timeout, server })
    }

    /// Database, host and port, for messages.
    pub fn server(&self) -> &str {
        &self.server
    }

    pub(crate) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }
}

/// Parses `connect_timeout`. As in libpq, 0 means no limit.
fn timeout(seconds: &str) -> Result<Duration, DsnError> {
    let expected = "a number of seconds";
    match seconds.parse::<u32>() {
        Ok(0) => Ok(Duration::MAX),
        Ok(seconds) => Ok(Duration::from_secs(seconds.into())),
        Err(_) => Err(DsnError::Value { parameter: "connect_timeout", expected }),
    }
}

struct Tls {
    mode: Option<String>,
    root: Option<String>,
}

impl Tls {
    fn from_env() -> Self {
        Self { mode: std::env::var("PGSSLMODE").ok(), root: std::env::var("PGSSLROOTCERT").ok() }
    }

    fn apply(self, mut options: PgConnectOptions) -> Result<PgConnectOptions, DsnError> {
        let of_system = self.root.as_deref() == Some("system");
        let default = if of_system { "verify-full" } else { "prefer" };
        let mode = match self.mode.as_deref().unwrap_or(default) {
            "verify-full" => PgSslMode::VerifyFull,
            _ if of_system => {
                let expected = "verify-full together with sslrootcert=system";
                return Err(DsnError::Value { parameter: "sslmode", expected });
            }
            "disable" => PgSslMode::Disable,
            "prefer" => PgSslMode::Prefer,
            "require" if self.root.is_some() => PgSslMode::VerifyCa,
            "require" => PgSslMode::Require,
            "verify-ca" => PgSslMode::VerifyCa,
            _ => {
                let expected = "disable, prefer, require, verify-ca or verify-full";
                return Err(DsnError::Value { parameter: "sslmode", expected });
            }
        };
        options = options.ssl_mode(mode);
        let verifies = matches!(mode, PgSslMode::VerifyCa | PgSslMode::VerifyFull);
        let Some(path) = self.root.filter(|_| !of_system && verifies) else { return Ok(options) };
        match std::fs::File::open(&path) {
            Ok(_) => Ok(options.ssl_root_cert(path)),
            Err(error) => Err(DsnError::RootCertificate { path, reason: error.to_string() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(dsn: &str) -> Result<Dsn, DsnError> {
        Dsn::parse(&Secret::from(dsn.to_owned()))
    }

    #[test]
    fn messages_name_the_server_and_nothing_else() {
        let server = |dsn: &str| parse(dsn).unwrap().server().to_owned();
        assert_eq!(
            server("postgres://u:hunter2@db.example:6432/shop"),
            r#"database "shop" at db.example:6432"#
        );
        assert_eq!(server("postgresql://u@db.example/"), r#"database "u" at db.example:5432"#);
        assert_eq!(server("postgres://u:p%40@[::1]:1/d"), r#"database "d" at ::1:1"#);
        assert_eq!(server("postgres:///d?host=/run/pg&user=u"), r#"database "d" at /run/pg:5432"#);
        assert_eq!(server("postgres://%2Frun%2Fpg/d"), r#"database "d" at /run/pg:5432"#);
        let debug = format!("{:?}", parse("postgres://u:hunter2@h/d").unwrap());
        assert_eq!(debug, r#"Dsn(database "d" at h:5432)"#);
    }

    #[test]
    fn what_a_password_has_broken_is_not_repeated() {
        for dsn in [
            "hunter2",
            "host=h password=hunter2",
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2#@h/d",
            "postgres://u:1#hunter2@h/d",
            "postgres://u:1/hunter2@h/d",
            "postgres://u:1/hunter2/d",
            "postgres://u:1?hunter2@h/d",
            "postgres://u:1?hunter2=@h/d",
            "postgres://u:1?hunter=@h/d",
            "postgres://u@h/d?password=hunter&hunter=1",
            "postgres://u:hunter2@a,b/d",
        ] {
            let error = parse(dsn).unwrap_err();
            assert_eq!(error, DsnError::Form, "{dsn}");
            assert!(!format!("{error} {error:?}").contains("hunter"), "{dsn}");
        }
    }

    #[test]
    fn tls_modes_are_those_of_libpq() {
        let mode = |query: &str| {
            parse(&format!("postgres://u@h/d?{query}")).map(|dsn| format!("{:?}", dsn.options.get_ssl_mode()))
        };
        let file = std::env::current_exe().unwrap().display().to_string();
        for (query, expected) in [
            ("", "Prefer"),
            ("sslmode=disable", "Disable"),
            ("sslmode=prefer", "Prefer"),
            ("sslmode=require", "Require"),
            (&format!("sslmode=require&sslrootcert={file}"), "VerifyCa"),
            ("sslmode=verify-ca", "VerifyCa"),
            (&format!("sslrootcert={file}&sslmode=verify-full"), "VerifyFull"),
            ("sslrootcert=system", "VerifyFull"),
            ("sslmode=prefer&sslrootcert=/nowhere", "Prefer"),
        ] {
            assert_eq!(mode(query).unwrap(), expected, "{query}");
        }
        for wrong in ["sslmode=allow", "sslmode=", "sslmode=Require", "sslmode=require&sslrootcert=system"] {
            assert!(matches!(mode(wrong), Err(DsnError::Value { parameter: "sslmode", .. })), "{wrong}");
        }
        for foreign in ["sslmod", "schema", "keepalives"] {
            assert_eq!(mode(&format!("{foreign}=require")), Err(DsnError::Parameter(foreign.into())));
        }
        let error = mode("sslmode=verify-ca&sslrootcert=/nowhere").unwrap_err().to_string();
        assert!(
            error.starts_with(r#"sslrootcert "/nowhere" of the DSN cannot be read: No such file"#),
            "{error}"
        );
        let socket = parse("postgres:///d?host=/run/pg&sslmode=require").unwrap();
        assert!(matches!(socket.options.get_ssl_mode(), PgSslMode::Disable));
    }

    #[test]
    fn what_hosted_services_add_is_taken_where_it_asks_for_nothing() {
        for harmless in [
            "channel_binding=prefer",
            "target_session_attrs=read-write&gssencmode=disable",
            "pgbouncer=true&client_encoding=UTF8",
        ] {
            assert_eq!(
                parse(&format!("postgres://u@h/d?{harmless}")).unwrap().server(),
                r#"database "d" at h:5432"#
            );
        }
        for (parameter, value) in [
            ("channel_binding", "require"),
            ("target_session_attrs", "standby"),
            ("client_encoding", "latin1"),
        ] {
            let error = parse(&format!("postgres://u@h/d?{parameter}={value}")).unwrap_err();
            let named = format!(
                "parameter {parameter} of the DSN has a value that is not supported; leave it out, or give "
            );
            assert!(error.to_string().starts_with(&named), "{error}");
        }
        let error = parse("postgres://u@h/d?schema=shop").unwrap_err().to_string();
        assert!(
            error.starts_with(r#"the DSN has the parameter "schema", which is not supported"#),
            "{error}"
        );
    }

    #[test]
    fn numbers_are_numbers() {
        let timeout = |value: &str| parse(&format!("postgres://h/d?connect_timeout={value}"));
        assert_eq!(timeout("3").unwrap().connect_timeout(), Duration::from_secs(3));
        assert_eq!(timeout("0").unwrap().connect_timeout(), Duration::MAX);
        assert!(timeout("x").is_err() && parse("postgres://h/d?port=70000").is_err());
    }
}
