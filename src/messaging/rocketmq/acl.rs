//! Credentials, and how a request is signed with them.

use super::wire::Command;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use std::fmt;

/// Access key and secret key, as the broker's operator gave them. `Debug` does not show the secrets.
#[derive(Clone)]
pub struct Credentials {
    access_key: String,
    secret_key: String,
    security_token: Option<String>,
}

impl Credentials {
    /// A pair of keys.
    pub fn new(access_key: impl Into<String>, secret_key: impl Into<String>) -> Credentials {
        Credentials { access_key: access_key.into(), secret_key: secret_key.into(), security_token: None }
    }

    /// With the token that temporary keys come with.
    pub fn with_security_token(mut self, token: impl Into<String>) -> Credentials {
        self.security_token = Some(token.into());
        self
    }

    /// Adds the fields that prove who asks. The signature is over all other fields' values, by the order of their names, and the body.
    pub(super) fn sign(&self, mut command: Command) -> Command {
        command.fields.insert("AccessKey", self.access_key.clone());
        if let Some(token) = &self.security_token {
            command.fields.insert("SecurityToken", token.clone());
        }
        // A key may have any length.
        if let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(self.secret_key.as_bytes()) {
            command.fields.values().for_each(|value| mac.update(value.as_bytes()));
            mac.update(&command.body);
            command.fields.insert("Signature", STANDARD.encode(mac.finalize().into_bytes()));
        }
        command
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The signatures were made by `printf TEXT | openssl dgst -sha1 -hmac SECRET -binary | base64`, where TEXT is the values in the order of
    /// their names, then the body.
    #[test]
    fn requests_are_signed_as_openssl_signs_them() {
        let keys = Credentials::new("rocketmq", "12345678");
        let command = Command::new(310).with("b", "orders").with("a", "group").with("topic", "größe").body("body");
        // 'rocketmqgrouporders' 'größe' 'body': AccessKey, a, b, topic.
        assert_eq!(keys.sign(command.clone()).fields["Signature"], "pdthTaqT9LclNwd+4FXBF5vpcXg=");
        let signed = keys.with_security_token("token").sign(command);
        // 'rocketmq' 'token' 'group' 'orders' 'größe' 'body'.
        assert_eq!(signed.fields["Signature"], "W9ctiBPZbCxedzU9eMwTHt7YoR4=");
        assert_eq!(signed.fields["SecurityToken"], "token");
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?}", Credentials::new("key", "geheim").with_security_token("auch"));
        assert!(shown.contains("key") && !shown.contains("geheim") && !shown.contains("auch"), "{shown}");
    }
}
