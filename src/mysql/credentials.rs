//! Who we are to the servers, from option files, the environment or a prompt; never from argv or
//! the topology.

use std::path::{Path, PathBuf};

use mysql_async::{ClientIdentity, SslOpts};
use secrecy::{ExposeSecret, SecretString};

use super::option_file::OptionFile;
use crate::error::{Error, Result};
use crate::names::InstanceName;

/// Where to look, as the flags say it.
#[derive(Debug, Clone, Default)]
pub struct CredentialSource {
    /// `--defaults-file`: read this file only.
    pub defaults_file: Option<PathBuf>,
    /// `--user`.
    pub user: Option<String>,
    /// A password typed at the prompt.
    pub password: Option<SecretString>,
}

/// The credentials of a fleet. An instance may have its own in the group `[shardctl_NAME]`.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    source: CredentialSource,
    file: OptionFile,
    env_user: Option<String>,
    env_password: Option<SecretString>,
}

/// How one instance is logged into.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user; the system user's name where nothing says otherwise, as the servers' clients do.
    pub user: String,
    /// The password, if any.
    pub password: Option<SecretString>,
    /// TLS, if wanted.
    pub tls: Option<Tls>,
}

/// TLS settings.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    verify: bool,
}

impl Credentials {
    /// Reads the option files. `~/.my.cnf` is read unless the source names a file.
    ///
    /// # Errors
    /// A file cannot be read or understood.
    pub fn read(source: CredentialSource) -> Result<Self> {
        let file = match &source.defaults_file {
            Some(path) => OptionFile::read(path)?,
            None => match std::env::var_os("HOME") {
                Some(home) if Path::new(&home).join(".my.cnf").is_file() => {
                    OptionFile::read(&Path::new(&home).join(".my.cnf"))?
                }
                _ => OptionFile::default(),
            },
        };
        Ok(Self {
            source,
            file,
            env_user: std::env::var("SHARDCTL_USER").ok(),
            env_password: std::env::var("SHARDCTL_PASSWORD")
                .ok()
                .map(SecretString::from),
        })
    }

    /// What this option file says and nothing else: for servers of our own, of which flags and
    /// environment do not speak.
    ///
    /// # Errors
    /// The file cannot be read or understood.
    pub fn of_file(path: &Path) -> Result<Self> {
        Ok(Self {
            file: OptionFile::read(path)?,
            ..Self::default()
        })
    }

    /// The login of one instance: flags and prompt first, then the environment, then the option
    /// file's groups `[shardctl_NAME]`, `[shardctl]`, `[client]`.
    ///
    /// # Errors
    /// The TLS settings name something that is not offered.
    pub fn login(&self, instance: &InstanceName) -> Result<Login> {
        let own = format!("shardctl_{instance}");
        let groups = [own.as_str(), "shardctl", "client"];
        let option = |name: &str| self.file.get(&groups, name);
        let user = self
            .source
            .user
            .clone()
            .or_else(|| self.env_user.clone())
            .or_else(|| option("user").map(str::to_owned))
            .or_else(|| std::env::var("USER").ok())
            .unwrap_or_else(|| "root".to_owned());
        let password = self
            .source
            .password
            .clone()
            .or_else(|| self.env_password.clone())
            .or_else(|| option("password").map(|text| SecretString::from(text.to_owned())));
        Ok(Login {
            user,
            password,
            tls: self.tls(instance, &option)?,
        })
    }

    fn tls<'a>(
        &self,
        instance: &InstanceName,
        option: &impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Option<Tls>> {
        let path = |name| option(name).map(PathBuf::from);
        let tls = Tls {
            ca: path("ssl-ca"),
            cert: path("ssl-cert"),
            key: path("ssl-key"),
            verify: false,
        };
        let named = tls.ca.is_some() || tls.cert.is_some();
        // MariaDB's clients say `ssl` and `ssl-verify-server-cert` instead of `ssl-mode`.
        let mode = match option("ssl-mode").map(str::to_ascii_uppercase) {
            Some(mode) => mode,
            None if option("ssl-verify-server-cert").is_some() => "VERIFY_IDENTITY".to_owned(),
            None if option("ssl").is_some() || named => "REQUIRED".to_owned(),
            None => return Ok(None),
        };
        match mode.as_str() {
            "DISABLED" | "PREFERRED" => Ok(None),
            "REQUIRED" => Ok(Some(tls)),
            "VERIFY_IDENTITY" => Ok(Some(Tls {
                verify: true,
                ..tls
            })),
            // The driver's rustls path checks the host name even when told not to.
            "VERIFY_CA" => Err(Error::usage("ssl-mode=VERIFY_CA is not offered yet")
                .at(format!("instance {instance}"))
                .next("use VERIFY_IDENTITY, with the host name or address in the certificate")),
            other => Err(Error::usage(format!("unknown ssl-mode `{other}`"))
                .at(format!("instance {instance}"))
                .next("one of DISABLED, PREFERRED, REQUIRED, VERIFY_IDENTITY")),
        }
    }
}

impl Login {
    /// The password for the driver.
    pub(super) fn exposed_password(&self) -> Option<String> {
        self.password
            .as_ref()
            .map(|password| password.expose_secret().to_owned())
    }

    /// The TLS options for the driver.
    pub(super) fn ssl_opts(&self) -> Option<SslOpts> {
        let tls = self.tls.as_ref()?;
        let mut opts = SslOpts::default();
        if let Some(ca) = &tls.ca {
            opts = opts
                .with_root_certs(vec![ca.clone().into()])
                .with_disable_built_in_roots(true);
        }
        if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
            opts = opts.with_client_identity(Some(ClientIdentity::new(
                cert.clone().into(),
                key.clone().into(),
            )));
        }
        Some(opts.with_danger_accept_invalid_certs(!tls.verify))
    }
}
