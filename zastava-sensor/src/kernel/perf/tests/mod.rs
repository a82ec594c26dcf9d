mod assemble;
mod decode;
mod host;
