//! Bodies of requests to the server: the first byte chooses the address, the rest is the body. What cannot be answered must be the
//! client's fault and say so; what is understood must be the same after it was written by our client and read again.

#![no_main]

use camelid_generate::protocol::{Body, Endpoint, body_json};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    let Some((&choice, bytes)) = input.split_first() else { return };
    let endpoint = if choice & 1 == 1 { Endpoint::Chat } else { Endpoint::Completions };
    let body = match Body::parse(endpoint, bytes) {
        Ok(body) => body,
        Err(error) => {
            assert!((400..500).contains(&error.status) && error.message.contains("\n  fix: "), "{error:?}");
            if serde_json::from_slice::<Value>(bytes).is_ok_and(|json| json.is_object()) {
                let field = error.field.as_deref().expect("an object has a field at fault");
                assert!(error.message.contains(field), "{error:?}");
            }
            return;
        }
    };
    let written = body_json(&body, "max_tokens").to_string();
    let again = Body::parse(endpoint, written.as_bytes()).expect("what was understood is understood again");
    assert_eq!(again, body, "{written}");
});
