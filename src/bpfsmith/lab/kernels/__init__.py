"""Where kernels come from: packages of an archive, files of the user; what is taken out of them."""
