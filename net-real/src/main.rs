//! `vivarium`: the server as one binary. All of it is in the library beside this file.

fn main() -> std::process::ExitCode {
    vivarium_net_real::cli::main()
}
