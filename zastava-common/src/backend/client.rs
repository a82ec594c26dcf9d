use std::sync::Arc;

use bytes::Bytes;

use super::{
    authority::Authority,
    breaker::Breaker,
    dpop::ProofKey,
    error::BackendError,
    settings::BackendSettings,
    token::{Sender, Sending, Token},
    verdict::{Question, Verdicts},
};
use crate::net::{Answer, Guard, Http};

/// The most that is read of an answer.
const MAX_ANSWER: usize = 4 << 20;

const WHOM: &str = "the backend";

/// Asks the backend. Cheap to clone; one serves all.
#[derive(Clone, Debug)]
pub struct Backend {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    verdicts: String,
    authority: Option<Authority>,
    sender: Arc<Sender>,
    breaker: Breaker,
}

impl Backend {
    pub fn new(settings: &BackendSettings) -> Result<Self, BackendError> {
        let BackendSettings { base_address, policy_path, within, authority, certificate, .. } = settings;
        if let Some(authority) = authority
            && authority.mutual_tls
            && certificate.is_none()
        {
            return Err(BackendError::Settings("mutual TLS needs a certificate of ours".to_owned()));
        }
        let dpop = authority.as_ref().is_some_and(|authority| authority.dpop);
        let key = dpop.then(ProofKey::generate).transpose();
        let key = key.map_err(|error| BackendError::Settings(error.to_string()))?;
        // Whoever is asked is named by the settings.
        let http = Http::new(settings.tls()?, Arc::new(Guard::Open));
        let sender = Arc::new(Sender::new(http, *within, key));
        let authority = authority.clone().map(|authority| Authority::new(authority, Arc::clone(&sender)));
        let verdicts = format!("{}{policy_path}", base_address.trim_end_matches('/'));
        Ok(Self { inner: Arc::new(Inner { verdicts, authority, sender, breaker: Breaker::default() }) })
    }

    /// What the backend says about images. An answer may be without some of them.
    pub async fn verdicts(&self, question: &Question<'_>) -> Result<Verdicts, BackendError> {
        let body = serde_json::to_vec(question).map_err(|error| BackendError::Settings(error.to_string()))?;
        let leave = self.inner.breaker.ask(WHOM)?;
        match self.inner.ask(Bytes::from(body)).await {
            Ok(verdicts) => {
                leave.succeeded();
                Ok(verdicts)
            }
            Err(error) => {
                if error.is_outage() {
                    leave.failed(&error);
                } else {
                    leave.succeeded();
                }
                Err(error)
            }
        }
    }
}

impl Inner {
    async fn ask(&self, body: Bytes) -> Result<Verdicts, BackendError> {
        let token = self.token().await?;
        let mut answer = self.post(&body, token.clone()).await?;
        if let (401, Some(authority), Some(token)) = (answer.status.as_u16(), &self.authority, &token) {
            // It may have been revoked, or its keys have changed: once more with another one.
            authority.reject(token);
            answer = self.post(&body, self.token().await?).await?;
        }
        match answer.status.as_u16() {
            200 => Verdicts::parse(&answer.body)
                .map_err(|error| BackendError::Answer { whom: WHOM.to_owned(), cause: error.to_string() }),
            // Too large, or with something in it that it does not read: labels, for one, are anybody's.
            status @ (400 | 413 | 422) => Err(BackendError::Question { whom: WHOM.to_owned(), status }),
            status => Err(BackendError::Status { whom: WHOM.to_owned(), status, detail: String::new() }),
        }
    }

    async fn token(&self) -> Result<Option<Arc<Token>>, BackendError> {
        match &self.authority {
            Some(authority) => authority.token().await.map(Some),
            None => Ok(None),
        }
    }

    async fn post(&self, body: &Bytes, token: Option<Arc<Token>>) -> Result<Answer, BackendError> {
        let sending = Sending {
            whom: WHOM,
            method: "POST",
            url: &self.verdicts,
            content_type: Some("application/json"),
            body: body.clone(),
            authorization: None,
            proof: token.is_some(),
            token,
            limit: MAX_ANSWER,
        };
        self.sender.send(&sending).await
    }
}
