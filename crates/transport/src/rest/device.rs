//! Keys of thngs: `/auth/evrythng/thngs`.

use axum::{http::StatusCode, response::Response};
use serde::Deserialize;
use thng_pubsub_protocol::{id::Id, payload::Object};

use super::{
    HttpError,
    call::{Call, invalid},
    json,
    resource::{created, done},
};

#[derive(Deserialize)]
struct DeviceKeyRequest {
    #[serde(rename = "thngId")]
    thng: String,
}

fn document(thng: Id, key: &str) -> String {
    format!(r#"{{"thngId":"{thng}","thngApiKey":"{key}"}}"#)
}

pub(super) async fn create(call: Call) -> Result<Response, HttpError> {
    let Object(request): Object<DeviceKeyRequest> = serde_json::from_slice(&call.body)
        .map_err(|_| invalid("The body is an object such as {\"thngId\": \"UeECn9a8PBpar8x4FEGdMsDd\"}."))?;
    let thng = Id::parse(&request.thng).map_err(|_| invalid("thngId: there is no such thng."))?;
    let key = call.identity().issue_device_key(call.request(), thng).await?;
    Ok(created(&call, thng.as_str(), document(thng, &key)))
}

pub(super) async fn read(call: Call) -> Result<Response, HttpError> {
    let thng = call.id("id")?;
    let key = call.identity().device_key(call.request(), thng).await?;
    Ok(json(StatusCode::OK, document(thng, &key)))
}

pub(super) async fn delete(call: Call) -> Result<Response, HttpError> {
    call.identity().revoke_device_key(call.request(), call.id("id")?).await?;
    Ok(done())
}
