/// Appends `text` so that nothing in it means anything in a query or a form: all but RFC 3986's unreserved characters
/// percent-encoded.
pub(crate) fn encode(text: &str, to: &mut String) {
    let digit =
        |value: u8| char::from(b"0123456789ABCDEF".get(usize::from(value)).copied().unwrap_or_default());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            to.push(char::from(byte));
        } else {
            to.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}
